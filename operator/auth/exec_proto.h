/*
 * The protocol between the operator and a credential plugin, client.authentication.k8s.io/v1 and
 * v1beta1: the plugin gets an ExecCredential in the variable KUBERNETES_EXEC_INFO, and prints an
 * ExecCredential with a status.
 *
 * Errors never show the plugin's output, because it may be a secret.
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
    int64_t expires_wall_ns; /* 0: not given */
};
void exec_credential_done(struct exec_credential *c);

/* Parses the plugin's output. -EINVAL: it is not an ExecCredential, has another version, has no
 * credential or half of a pair, or has expired already. */
int exec_proto_parse(const char *text, size_t len, const char *api_version, int64_t now_wall_ns,
                     struct exec_credential *ret, struct err *err);

#endif
