/*
 * Where the API server is and who we are there: from kubeconfig files or from the pod's service
 * account. Everything is read into memory; what can change on disk (the token every hour,
 * certificates now and then) is read again by kube_config_refresh(), which keeps what it has when a
 * file can not be read or makes no sense.
 *
 * Which source: the kubeconfig that was named; else the files of $KUBECONFIG; else, inside a pod,
 * the service account; else ~/.kube/config. Several files are merged as kubectl does: each cluster,
 * user and context is wholly that of the first file that has it, paths are relative to the file
 * that names them. The proxy: config_proxy.h.
 *
 * Who we are: a token, a file with one (a token beside it stands in until it can be read), a client
 * certificate, or an exec plugin, which is described here and run by operator/auth/exec_plugin.h. A
 * token beats a plugin, as in client-go. Not supported, each with an error that says so: plugins
 * that need a terminal (interactiveMode Always), auth-provider, username and password,
 * impersonation.
 */
#ifndef ARL_OPERATOR_AUTH_CONFIG_H
#define ARL_OPERATOR_AUTH_CONFIG_H

#include "common/base/base.h"
#include "common/base/err.h"

#define KUBE_CONFIG_FILES_MAX 16          /* in $KUBECONFIG; further ones are an error */
#define KUBE_CONFIG_FILE_BYTES (1u << 20) /* larger files are an error */

#define KUBE_EXEC_ARGS_MAX 256 /* of a plugin, and variables for it; more: an error */

/* A credential plugin (client.authentication.k8s.io). */
struct kube_exec {
    char *api_version; /* v1 or v1beta1, with the group */
    char *command;     /* a path, or a name for $PATH */
    char **args;       /* NULL-terminated, without the command */
    char **env;        /* "NAME=value" on top of our own environment, NULL-terminated */
    char *hint;        /* how to install it; NULL: none */
    bool cluster_info; /* it is told of the cluster */
    char *config;      /* JSON that the kubeconfig holds for it; NULL: none */
};

struct kube_config {
    char *server;   /* "https://10.0.0.1:443", without a slash at the end */
    char *ns;       /* the context's namespace or the pod's; NULL: none said */
    char *token;    /* NULL: none */
    char *ca_pem;   /* NULL: the system's */
    char *cert_pem; /* client certificate and key; NULL: none */
    char *key_pem;
    char *server_name; /* NULL: as in the URL */
    char *proxy;       /* an http, https or socks5h URL; NULL: none */
    bool insecure_skip_verify;
    struct kube_exec *exec; /* NULL: none, or a token makes it needless */
    /* Files that the above were read from; NULL: they were given as data. */
    char *token_file;
    char *ca_file;
    char *cert_file;
    char *key_file;
};

/* What decides on the source; kube_config_env_init() fills it from the environment. */
struct kube_config_env {
    const char *kubeconfig_flag; /* the file named on the command line; NULL: none */
    const char *context;         /* NULL: the file's current-context */
    const char *kubeconfig;      /* $KUBECONFIG */
    const char *home;            /* $HOME */
    const char *service_host;    /* $KUBERNETES_SERVICE_HOST */
    const char *service_port;    /* $KUBERNETES_SERVICE_PORT */
    const char *account_dir;     /* /var/run/secrets/kubernetes.io/serviceaccount */
    const char *http_proxy;      /* $HTTP_PROXY or $http_proxy */
    const char *https_proxy;     /* $HTTPS_PROXY or $https_proxy */
    const char *no_proxy;        /* $NO_PROXY or $no_proxy */
};
void kube_config_env_init(struct kube_config_env *env);

int kube_config_load(const struct kube_config_env *env, struct kube_config *ret, struct err *err);
void kube_config_done(struct kube_config *c);

enum { KUBE_CONFIG_TOKEN = 1, KUBE_CONFIG_TLS = 2 };
/* Reads again what `what` names (a set of the above); returns the set of what has changed. The
 * first file that could not be read is told in *err, with a code other than 0. */
unsigned kube_config_refresh(struct kube_config *c, unsigned what, struct err *err);

#endif
