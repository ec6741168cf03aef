#include "operator/auth/exec_proto.h"

#include <errno.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json.h"

/* A CA bundle of KUBE_CONFIG_FILE_BYTES as base64, and all else. Variables of more than 128 KiB can
 * not be given to a process on Linux: the spawn says so. */
#define INFO_BYTES (2 * KUBE_CONFIG_FILE_BYTES)

/* ---- to the plugin --------------------------------------------------------------------------- */

static char *base64_of(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = strlen(text), at = 0;
    char *out = xmalloc((len + 2) / 3 * 4 + 1);

    for (size_t i = 0; i < len; i += 3) {
        size_t have = MIN(len - i, 3);
        uint32_t bits = 0;

        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < have ? (unsigned char)text[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            out[at++] = j <= have ? digits[bits >> (18 - 6 * j) & 63] : '=';
    }
    out[at] = '\0';
    return out;
}

static void write_cluster(struct json_writer *w, const struct kube_config *c)
{
    cleanup_free char *ca = c->ca_pem ? base64_of(c->ca_pem) : NULL;

    json_w_object(w, "cluster");
    json_w_str(w, "server", c->server);
    if (c->server_name)
        json_w_str(w, "tls-server-name", c->server_name);
    if (c->insecure_skip_verify)
        json_w_bool(w, "insecure-skip-tls-verify", true);
    if (ca)
        json_w_str(w, "certificate-authority-data", ca);
    if (c->proxy && strncmp(c->proxy, "socks5h:", 8) == 0) {
        cleanup_free char *proxy = xasprintf("socks5%s", c->proxy + 7);

        json_w_str(w, "proxy-url", proxy);
    } else if (c->proxy) {
        json_w_str(w, "proxy-url", c->proxy);
    }
    json_w_raw(w, "config", c->exec->config ? c->exec->config : "null");
    json_w_end_object(w);
}

char *exec_proto_info(const struct kube_config *c)
{
    struct buf out = BUF_INIT(INFO_BYTES);
    struct json_writer w = JSON_WRITER_INIT(&out);

    buf_puts(&out, "KUBERNETES_EXEC_INFO=");
    json_w_object(&w, NULL);
    json_w_str(&w, "kind", "ExecCredential");
    json_w_str(&w, "apiVersion", c->exec->api_version);
    json_w_object(&w, "spec");
    if (c->exec->cluster_info)
        write_cluster(&w, c);
    json_w_bool(&w, "interactive", false);
    json_w_end_object(&w);
    json_w_end_object(&w);
    assert(w.error == 0);
    return buf_steal(&out);
}

/* ---- from the plugin ------------------------------------------------------------------------- */

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void exec_credential_done(struct exec_credential *c)
{
    free_secret(c->token);
    free(c->cert_pem);
    free_secret(c->key_pem);
    *c = (struct exec_credential){0};
}

/* It becomes part of a header's line. */
static bool is_token(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

/* Empty reads as absent, as in Go. */
static const char *text_of(struct json_object *status, const char *name)
{
    const char *s = json_get_str(status, name);

    return s && *s ? s : NULL;
}

static int check(const char *token, const char *cert, const char *key, struct err *err)
{
    if (!token && !cert && !key)
        return err_set(err, -EINVAL, "it gave neither a token nor a client certificate");
    if (!cert != !key)
        return err_set(err, -EINVAL, "it gave a client certificate without a key, or a key alone");
    if (token && !is_token(token))
        return err_set(err, -EINVAL, "it gave a token with characters that no token has");
    if (cert && (!strstr(cert, "-----BEGIN ") || !strstr(key, "-----BEGIN ")))
        return err_set(err, -EINVAL, "it gave a client certificate or key that is no PEM text");
    return 0;
}

static int expiry(struct json_object *status, int64_t now_wall_ns, int64_t *ret, struct err *err)
{
    const char *s = text_of(status, "expirationTimestamp");

    if (!s)
        return 0;
    if (rfc3339_parse(s, ret) < 0)
        return err_set(err, -EINVAL, "it gave an expirationTimestamp that is no time");
    if (*ret <= now_wall_ns)
        return err_set(err, -EINVAL, "it gave a credential that had expired at %.40s", s);
    return 0;
}

int exec_proto_parse(const char *text, size_t len, const char *api_version, int64_t now_wall_ns,
                     struct exec_credential *ret, struct err *err)
{
    cleanup_json struct json_object *obj = NULL;
    struct json_object *status;
    const char *version, *token, *cert, *key;
    int64_t expires_wall_ns = 0;
    int r;

    if (json_parse(text, len, &obj, NULL) < 0)
        return err_set(err, -EINVAL, "what it printed is not JSON");
    if (!str_eq(json_get_str(obj, "kind"), "ExecCredential"))
        return err_set(err, -EINVAL, "what it printed is no ExecCredential");
    version = json_get_str(obj, "apiVersion");
    if (!str_eq(version, api_version))
        return err_set(err, -EINVAL, "it speaks %.80s, the kubeconfig says %s",
                       version ? version : "no apiVersion", api_version);
    status = json_get(obj, "status");
    token = text_of(status, "token");
    cert = text_of(status, "clientCertificateData");
    key = text_of(status, "clientKeyData");
    r = check(token, cert, key, err);
    if (r == 0)
        r = expiry(status, now_wall_ns, &expires_wall_ns, err);
    if (r < 0)
        return r;
    *ret = (struct exec_credential){.token = xstrdup(token),
                                    .cert_pem = xstrdup(cert),
                                    .key_pem = xstrdup(key),
                                    .expires_wall_ns = expires_wall_ns};
    return 0;
}
