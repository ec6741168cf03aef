#include "operator/auth/config.h"

#include <errno.h>
#include <unistd.h>

#include "operator/auth/config_file.h"
#include "operator/auth/config_proxy.h"

#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

static const char *env_value(const char *name)
{
    const char *s = getenv(name);

    return s && *s ? s : NULL;
}

static const char *env_either(const char *name, const char *other)
{
    const char *s = env_value(name);

    return s ? s : env_value(other);
}

void kube_config_env_init(struct kube_config_env *env)
{
    *env = (struct kube_config_env){
        .kubeconfig = env_value("KUBECONFIG"),
        .home = env_value("HOME"),
        .service_host = env_value("KUBERNETES_SERVICE_HOST"),
        .service_port = env_value("KUBERNETES_SERVICE_PORT"),
        .account_dir = ACCOUNT_DIR,
        .http_proxy = env_either("HTTP_PROXY", "http_proxy"),
        .https_proxy = env_either("HTTPS_PROXY", "https_proxy"),
        .no_proxy = env_either("NO_PROXY", "no_proxy"),
    };
}

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void free_texts(char **list)
{
    for (char **p = list; p && *p; p++)
        free_secret(*p);
    free(list);
}

static void free_exec(struct kube_exec *e)
{
    if (!e)
        return;
    free(e->api_version);
    free(e->command);
    free_texts(e->args);
    free_texts(e->env);
    free(e->hint);
    free(e->config);
    free(e);
}

void kube_config_done(struct kube_config *c)
{
    if (!c)
        return;
    free(c->server);
    free(c->ns);
    free_secret(c->token);
    free(c->ca_pem);
    free(c->cert_pem);
    free_secret(c->key_pem);
    free(c->server_name);
    free(c->proxy);
    free_exec(c->exec);
    free(c->token_file);
    free(c->ca_file);
    free(c->cert_file);
    free(c->key_file);
    *c = (struct kube_config){0};
}

/* ---- sources --------------------------------------------------------------------------------- */

static int load_in_cluster(const struct kube_config_env *env, struct kube_config *ret,
                           struct err *err)
{
    cleanup_free char *ns_file = xasprintf("%s/namespace", env->account_dir);
    bool is_ipv6 = strchr(env->service_host, ':') != NULL;
    struct kube_config c = {0};
    int r;

    c.server = xasprintf("https://%s%s%s:%s", is_ipv6 ? "[" : "", env->service_host,
                         is_ipv6 ? "]" : "", env->service_port ? env->service_port : "443");
    c.token_file = xasprintf("%s/token", env->account_dir);
    c.ca_file = xasprintf("%s/ca.crt", env->account_dir);
    r = config_read_token(c.token_file, &c.token, err);
    if (r == 0)
        r = config_read_pem(c.ca_file, &c.ca_pem, err);
    if (r < 0) {
        kube_config_done(&c);
        return err_prefix(err, "service account");
    }
    config_read_token(ns_file, &c.ns, NULL);
    *ret = c;
    return 0;
}

/* $KUBECONFIG: paths with colons between them, empty ones ignored. */
static int load_list(const char *list, const char *context, struct kube_config *ret,
                     struct err *err)
{
    char *paths[KUBE_CONFIG_FILES_MAX];
    size_t count = 0;
    int r = 0;

    for (const char *p = list; *p && r == 0;) {
        size_t len = strcspn(p, ":");

        if (len > 0 && count == KUBE_CONFIG_FILES_MAX)
            r = err_set(err, -E2BIG, "KUBECONFIG names more than %d files", KUBE_CONFIG_FILES_MAX);
        else if (len > 0)
            paths[count++] = xmemdup0(p, len);
        p += len + (p[len] == ':');
    }
    if (r == 0 && count == 0)
        r = err_set(err, -EINVAL, "KUBECONFIG names no file");
    if (r == 0)
        r = config_load_files(paths, count, context, ret, err);
    while (count > 0)
        free(paths[--count]);
    return r;
}

static int load_file(const char *path, const char *context, struct kube_config *ret,
                     struct err *err)
{
    cleanup_free char *copy = xstrdup(path);

    return config_load_files(&copy, 1, context, ret, err);
}

static int load_source(const struct kube_config_env *env, struct kube_config *ret, struct err *err)
{
    cleanup_free char *home_file = NULL;

    if (env->kubeconfig_flag)
        return load_file(env->kubeconfig_flag, env->context, ret, err);
    if (env->kubeconfig)
        return load_list(env->kubeconfig, env->context, ret, err);
    if (env->service_host && !env->context)
        return load_in_cluster(env, ret, err);
    home_file = env->home ? xasprintf("%s/.kube/config", env->home) : NULL;
    if (home_file && access(home_file, F_OK) == 0)
        return load_file(home_file, env->context, ret, err);
    return err_set(err, -ENOENT,
                   "no cluster: neither --kubeconfig, KUBECONFIG nor %s, and not inside a pod "
                   "(KUBERNETES_SERVICE_HOST is not set)",
                   home_file ? home_file : "~/.kube/config");
}

/* The proxy of the environment, for a cluster without a proxy-url. */
static int load_proxy(const struct kube_config_env *env, struct kube_config *c, struct err *err)
{
    bool is_https = strncmp(c->server, "https:", 6) == 0;
    const char *url = is_https ? env->https_proxy : env->http_proxy;

    if (c->proxy || !url || config_proxy_bypass(env->no_proxy, c->server))
        return 0;
    if (config_proxy_parse(url, &c->proxy, err) < 0)
        return err_prefix(err, "%s", is_https ? "HTTPS_PROXY" : "HTTP_PROXY");
    return 0;
}

int kube_config_load(const struct kube_config_env *env, struct kube_config *ret, struct err *err)
{
    struct kube_config c;
    int r = load_source(env, &c, err);

    if (r < 0)
        return r;
    r = load_proxy(env, &c, err);
    if (r < 0)
        kube_config_done(&c);
    else
        *ret = c;
    return r;
}

/* ---- reading again --------------------------------------------------------------------------- */

typedef int read_fn(const char *path, char **ret, struct err *err);

/* Whether the text has changed. After a failure the old text stays, and the error goes into *err if
 * that is still empty. */
static bool reread(read_fn *read_it, const char *path, char **text, struct err *err)
{
    char *fresh;
    struct err e = {0};

    if (!path)
        return false;
    if (read_it(path, &fresh, &e) < 0) {
        if (err && !err->code)
            *err = e;
        return false;
    }
    if (str_eq(fresh, *text)) {
        free_secret(fresh);
        return false;
    }
    free_secret(*text);
    *text = fresh;
    return true;
}

/* A certificate and its key change together: with one of them new, the pair would not fit. */
static bool reread_pair(struct kube_config *c, struct err *err)
{
    char *cert, *key;
    struct err e = {0};
    bool changed;

    if (!c->cert_file || !c->key_file)
        return reread(config_read_pem, c->cert_file, &c->cert_pem, err) ||
               reread(config_read_pem, c->key_file, &c->key_pem, err);
    cert = xstrdup(c->cert_pem);
    key = xstrdup(c->key_pem);
    changed = reread(config_read_pem, c->cert_file, &cert, &e);
    changed = reread(config_read_pem, c->key_file, &key, &e) || changed;
    if (e.code) {
        if (err && !err->code)
            *err = e;
        changed = false;
    }
    if (changed) {
        str_set(&c->cert_pem, cert);
        free_secret(c->key_pem);
        c->key_pem = key;
        return true;
    }
    free(cert);
    free_secret(key);
    return false;
}

unsigned kube_config_refresh(struct kube_config *c, unsigned what, struct err *err)
{
    unsigned changed = 0;

    if (err)
        *err = (struct err){0};
    if (what & KUBE_CONFIG_TOKEN && reread(config_read_token, c->token_file, &c->token, err))
        changed |= KUBE_CONFIG_TOKEN;
    if (what & KUBE_CONFIG_TLS) {
        if (reread(config_read_pem, c->ca_file, &c->ca_pem, err))
            changed |= KUBE_CONFIG_TLS;
        if (reread_pair(c, err))
            changed |= KUBE_CONFIG_TLS;
    }
    return changed;
}
