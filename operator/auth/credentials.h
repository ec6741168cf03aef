/*
 * Keeps the credentials for the API server up to date. It owns the kube_config, reads its files
 * again, and runs the exec plugin if there is one.
 *
 * Files are read again as soon as they change (file_watch.h), when the server refuses the
 * credential (401), when a TLS connection fails, and in any case every CREDENTIALS_TOKEN_MS (the
 * token) and every CREDENTIALS_TLS_MS (certificates). If a file cannot be read or parsed, the old
 * credential stays in use.
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
    void (*on_tls)(void *arg);     /* the CA or the client certificate is new */
    void (*on_settled)(void *arg); /* credentials_way() may have changed */
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

/* Takes over the contents of *config, which is empty then. */
struct credentials *credentials_new(struct uv_loop_s *loop, struct kube_config *config,
                                    const struct credentials_opts *opts);
const struct kube_config *credentials_config(const struct credentials *c);
/* A number that grows with each new credential. By it a refusal of an earlier credential is told
 * apart. */
unsigned credentials_serial(const struct credentials *c);
/* What to do with a request now; EXEC_SEND if there is no plugin. */
enum exec_way credentials_way(const struct credentials *c);
const char *credentials_why(const struct credentials *c);
/* The server answered 401 to a request with the credential of that serial. */
void credentials_refused(struct credentials *c, unsigned serial);
/* A TLS connection could not be made: the certificates may have changed. */
void credentials_doubted(struct credentials *c);
/* cb (may be NULL) when all is closed and freed. */
void credentials_close(struct credentials *c, void (*cb)(void *arg), void *arg);

#endif
