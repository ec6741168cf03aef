#include "operator/auth/credentials.h"

#include <uv.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "operator/auth/file_watch.h"

struct credentials {
    struct kube_config config;
    struct credentials_opts opts;
    struct exec_plugin *plugin;
    struct file_watch *files;
    uv_timer_t refresh;
    int64_t tls_read_ns; /* when certificates were last read */
    bool own_cert;       /* the kubeconfig's, which goes before a plugin's, as in client-go */
    unsigned serial;
    struct err complaint; /* what could not be read the last time */
    unsigned handles;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static void note(void *arg, int level, const char *msg)
{
    struct credentials *c = arg;

    c->opts.on_note(c->opts.arg, level, msg);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void reread(struct credentials *c, unsigned what)
{
    struct err err = {0};
    unsigned changed = kube_config_refresh(&c->config, what, &err);

    /* Once, however often it is tried. */
    if (err.code && strcmp(err.msg, c->complaint.msg) != 0)
        note(c, LOG_WARN, err.msg);
    if (err.code || what & KUBE_CONFIG_TLS)
        c->complaint = err;
    if (changed)
        c->serial++;
    if (changed & KUBE_CONFIG_TOKEN)
        note(c, LOG_INFO, "a new token was read");
    if (changed & KUBE_CONFIG_TLS) {
        note(c, LOG_INFO, "new certificates were read");
        c->opts.on_tls(c->opts.arg);
    }
}

static void on_files(void *arg)
{
    reread(arg, KUBE_CONFIG_TOKEN | KUBE_CONFIG_TLS);
}

static void on_refresh(uv_timer_t *timer)
{
    struct credentials *c = timer->data;
    int64_t now_ns = clock_read().mono_ns;
    unsigned what = KUBE_CONFIG_TOKEN;

    if (now_ns - c->tls_read_ns >= CREDENTIALS_TLS_MS * NSEC_PER_MSEC) {
        c->tls_read_ns = now_ns;
        what |= KUBE_CONFIG_TLS;
    }
    reread(c, what);
}

/* ---- the plugin ------------------------------------------------------------------------------ */

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void take(char **to, char **from)
{
    free_secret(*to);
    *to = *from;
    *from = NULL;
}

static void on_credential(void *arg, struct exec_credential *got)
{
    struct credentials *c = arg;
    bool new_tls =
        !c->own_cert && got->cert_pem &&
        !(str_eq(got->cert_pem, c->config.cert_pem) && str_eq(got->key_pem, c->config.key_pem));

    c->serial++;
    take(&c->config.token, &got->token);
    if (!new_tls)
        return;
    take(&c->config.cert_pem, &got->cert_pem);
    take(&c->config.key_pem, &got->key_pem);
    c->opts.on_tls(c->opts.arg);
}

static void on_settled(void *arg)
{
    struct credentials *c = arg;

    c->opts.on_settled(c->opts.arg);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void add_plugin(struct credentials *c, struct uv_loop_s *loop)
{
    const struct exec_plugin_opts plugin = {
        .on_credential = on_credential, .on_settled = on_settled, .on_note = note, .arg = c};

    c->plugin = exec_plugin_new(loop, &c->config, &plugin);
    c->handles++;
}

struct credentials *credentials_new(struct uv_loop_s *loop, struct kube_config *config,
                                    const struct credentials_opts *opts)
{
    struct credentials *c = xcalloc(1, sizeof(*c));
    const char *const files[FILE_WATCH_FILES] = {config->token_file, config->ca_file,
                                                 config->cert_file, config->key_file};

    c->config = *config;
    *config = (struct kube_config){0};
    c->opts = *opts;
    c->own_cert = c->config.cert_pem != NULL;
    c->tls_read_ns = clock_read().mono_ns;
    uv_timer_init(loop, &c->refresh);
    c->refresh.data = c;
    /* Without files there is nothing to read again, and no reason to wake up. */
    if (files[0] || files[1] || files[2] || files[3])
        uv_timer_start(&c->refresh, on_refresh, CREDENTIALS_TOKEN_MS, CREDENTIALS_TOKEN_MS);
    c->files = file_watch_new(loop, files, on_files, c);
    c->handles = 2;
    if (c->config.exec)
        add_plugin(c, loop);
    return c;
}

const struct kube_config *credentials_config(const struct credentials *c)
{
    return &c->config;
}

unsigned credentials_serial(const struct credentials *c)
{
    return c->serial;
}

enum exec_way credentials_way(const struct credentials *c)
{
    return c->plugin ? exec_plugin_way(c->plugin) : EXEC_SEND;
}

const char *credentials_why(const struct credentials *c)
{
    return c->plugin ? exec_plugin_why(c->plugin) : "";
}

void credentials_refused(struct credentials *c, unsigned serial)
{
    bool is_current = serial == c->serial;

    reread(c, KUBE_CONFIG_TOKEN | KUBE_CONFIG_TLS);
    if (c->plugin && is_current)
        exec_plugin_refused(c->plugin);
}

void credentials_doubted(struct credentials *c)
{
    reread(c, KUBE_CONFIG_TLS);
}

static void on_part_closed(void *arg)
{
    struct credentials *c = arg;
    void (*cb)(void *) = c->close_cb;
    void *cb_arg = c->close_arg;

    if (--c->handles > 0)
        return;
    kube_config_done(&c->config);
    free(c);
    if (cb)
        cb(cb_arg);
}

static void on_refresh_closed(uv_handle_t *h)
{
    on_part_closed(h->data);
}

void credentials_close(struct credentials *c, void (*cb)(void *arg), void *arg)
{
    if (!c)
        return;
    c->close_cb = cb;
    c->close_arg = arg;
    exec_plugin_close(c->plugin, on_part_closed, c);
    file_watch_close(c->files, on_part_closed, c);
    uv_close((uv_handle_t *)&c->refresh, on_refresh_closed);
}
