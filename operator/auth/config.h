/*
 * The address of the API server and the credentials for it, from kubeconfig files or from the pod's
 * service account. Everything is read into memory. kube_config_refresh() reads files again that may
 * have changed (the token every hour, certificates now and then). If a file cannot be read or
 * parsed, the old value stays.
 *
 * The source is the kubeconfig that was named; else the files of $KUBECONFIG; else, inside a pod,
 * the service account; else ~/.kube/config. Several files are merged as by kubectl: each cluster,
 * user and context comes wholly from the first file that has it, and paths are relative to the file
 * that names them. The proxy: config_proxy.h.
 *
 * The credential is a token, a file with a token (a token beside it is used until the file can be
 * read), a client certificate, or an exec plugin, which operator/auth/exec_plugin.h runs. A token
 * goes before a plugin, as in client-go. Not supported, each with an error that says so: plugins
 * that need a terminal (interactiveMode Always), auth-provider, username and password,
 * impersonation.
 */
#ifndef ARL_OPERATOR_AUTH_CONFIG_H
#define ARL_OPERATOR_AUTH_CONFIG_H

#include "common/base/base.h"
#include "common/base/err.h"

#define KUBE_CONFIG_FILES_MAX 16          /* in $KUBECONFIG; further ones are an error */
#define KUBE_CONFIG_FILE_BYTES (1u << 20) /* larger files are an error */

#define KUBE_EXEC_ARGS_MAX 256 /* of a plugin, and as many variables; more are an error */

/* A credential plugin (client.authentication.k8s.io). */
struct kube_exec {
    char *api_version; /* v1 or v1beta1, with the group */
    char *command;     /* a path, or a name for $PATH */
    char **args;       /* NULL-terminated, without the command */
    char **env;        /* "NAME=value", added to the operator's own environment; NULL-terminated */
    char *hint;        /* how to install it; NULL: none */
    bool cluster_info; /* the plugin gets the data of the cluster */
    char *config;      /* the JSON of the kubeconfig for the plugin; NULL: none */
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
    struct kube_exec *exec; /* NULL: none, or there is a token */
    /* Files that the above were read from; NULL: they were given as data. */
    char *token_file;
    char *ca_file;
    char *cert_file;
    char *key_file;
};

/* The inputs that decide on the source; kube_config_env_init() fills them from the environment. */
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
/* Reads the files of the set `what` again, and returns the set of those that have changed. If a
 * file could not be read, *err has a code other than 0 and names the first such file. */
unsigned kube_config_refresh(struct kube_config *c, unsigned what, struct err *err);

#endif
