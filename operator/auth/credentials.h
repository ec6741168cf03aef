/*
 * Who we are to the API server, kept up to date on the loop: owns the kube_config, reads its files
 * again, and has the exec plugin run if there is one.
 *
 * Files are read again as soon as they change (file_watch.h), when the server refuses what we are
 * (401) or a TLS connection fails, and in any case the token every CREDENTIALS_TOKEN_MS and
 * certificates every CREDENTIALS_TLS_MS. What can not be read or makes no sense leaves the old one
 * in use.
 */
#ifndef ARL_OPERATOR_AUTH_CREDENTIALS_H
#define ARL_OPERATOR_AUTH_CREDENTIALS_H

#include "operator/auth/config.h"
#include "operator/auth/exec_plugin.h"

#define CREDENTIALS_TOKEN_MS 60000
#define CREDENTIALS_TLS_MS 300000

struct uv_loop_s;
struct credentials;

struct credentials_opts {
    void (*on_tls)(void *arg);     /* CA or client certificate are new */
    void (*on_settled)(void *arg); /* credentials_way() may be another */
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

/* Takes the contents of *config over (it is then empty). */
struct credentials *credentials_new(struct uv_loop_s *loop, struct kube_config *config,
                                    const struct credentials_opts *opts);
const struct kube_config *credentials_config(const struct credentials *c);
/* Grows with each new credential, so that a refusal can be told from one of an earlier credential.
 */
unsigned credentials_serial(const struct credentials *c);
/* What is to be done with a request now; SEND where there is no plugin. */
enum exec_way credentials_way(const struct credentials *c);
const char *credentials_why(const struct credentials *c);
/* The server answered 401 to what was sent with that serial. */
void credentials_refused(struct credentials *c, unsigned serial);
/* A TLS connection could not be made: certificates may have changed. */
void credentials_doubted(struct credentials *c);
/* cb (may be NULL) when all is closed and freed. */
void credentials_close(struct credentials *c, void (*cb)(void *arg), void *arg);

#endif
