/*
 * What travels between us and a credential plugin, client.authentication.k8s.io/v1 and v1beta1: it
 * gets an ExecCredential in the variable KUBERNETES_EXEC_INFO and prints one with a status.
 *
 * Errors hold nothing of what the plugin printed: it may be a secret.
 */
#ifndef ARL_OPERATOR_AUTH_EXEC_PROTO_H
#define ARL_OPERATOR_AUTH_EXEC_PROTO_H

#include "common/base/err.h"
#include "operator/auth/config.h"

#define EXEC_V1 "client.authentication.k8s.io/v1"
#define EXEC_V1BETA1 "client.authentication.k8s.io/v1beta1"

/* "KUBERNETES_EXEC_INFO={...}" for the plugin of c, to be freed. */
char *exec_proto_info(const struct kube_config *c);

struct exec_credential {
    char *token;    /* NULL: none */
    char *cert_pem; /* client certificate and its key; NULL: none */
    char *key_pem;
    int64_t expires_wall_ns; /* 0: does not say */
};
void exec_credential_done(struct exec_credential *c);

/* Reads what it printed. -EINVAL: no such object, of another version, without any credential, with
 * half of a pair, or expired already. */
int exec_proto_parse(const char *text, size_t len, const char *api_version, int64_t now_wall_ns,
                     struct exec_credential *ret, struct err *err);

#endif
