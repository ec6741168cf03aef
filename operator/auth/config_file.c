#include "operator/auth/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include <yaml.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "operator/auth/config_proxy.h"
#include "operator/auth/exec_proto.h"

#define CONFIG_DEPTH_MAX 16           /* of what a kubeconfig holds for a plugin */
#define CONFIG_JSON_BYTES (64u << 10) /* and its length */

/* ---- files ----------------------------------------------------------------------------------- */

int config_read_file(const char *path, char **ret, struct err *err)
{
    struct buf b = BUF_INIT(KUBE_CONFIG_FILE_BYTES);
    FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    int r = 0;

    if (!f)
        return err_errno(err, errno, "%s", path);
    while (r == 0 && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        r = buf_append(&b, chunk, n);
    if (r < 0)
        r = err_set(err, -EFBIG, "%s: larger than %u bytes", path, KUBE_CONFIG_FILE_BYTES);
    else if (ferror(f))
        r = err_errno(err, EIO, "%s", path);
    fclose(f);
    explicit_bzero(chunk, sizeof(chunk));
    if (r == 0)
        *ret = b.len ? buf_steal(&b) : xstrdup("");
    buf_done(&b);
    return r;
}

/* With an end behind its last beginning: a file may be read while it is written. */
static bool is_whole_pem(const char *text)
{
    const char *begin = NULL;

    for (const char *p = text; (p = strstr(p, "-----BEGIN ")); p++)
        begin = p;
    return begin && strstr(begin, "-----END ");
}

int config_read_pem(const char *path, char **ret, struct err *err)
{
    char *text;
    int r = config_read_file(path, &text, err);

    if (r < 0)
        return r;
    if (!is_whole_pem(text)) {
        explicit_bzero(text, strlen(text));
        free(text);
        return err_set(err, -EINVAL, "%s: not PEM text, or cut off", path);
    }
    *ret = text;
    return 0;
}

int config_read_token(const char *path, char **ret, struct err *err)
{
    cleanup_free char *text = NULL;
    char *begin, *end;
    int r = config_read_file(path, &text, err);

    if (r < 0)
        return r;
    begin = text + strspn(text, " \t\r\n");
    end = begin + strcspn(begin, " \t\r\n");
    if (begin == end || end[strspn(end, " \t\r\n")] != '\0')
        return err_set(err, -EINVAL, "%s: not a token", path);
    *ret = xmemdup0(begin, (size_t)(end - begin));
    return 0;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;

    return p ? (int)(p - digits) : -1;
}

/* Standard base64; white space is skipped. NULL: malformed. */
static char *base64_text(const char *s)
{
    char *out = xmalloc(strlen(s) / 4 * 3 + 4);
    unsigned bits = 0, have = 0, pads = 0;
    size_t len = 0;

    for (; *s; s++) {
        int v = base64_value(*s);

        if (isspace((unsigned char)*s))
            continue;
        pads += *s == '=';
        if (*s == '=' && pads <= 2)
            continue;
        if (v < 0 || pads > 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have);
        }
    }
    out[len] = '\0';
    return out;
}

/* ---- YAML ------------------------------------------------------------------------------------ */

struct file {
    const char *path;
    yaml_document_t doc;
};

struct files {
    struct file list[KUBE_CONFIG_FILES_MAX];
    size_t count;
};

/* A mapping inside a file, and how errors call it. */
struct place {
    struct file *file;
    yaml_node_t *node;
    char what[128];
};

static void files_done(struct files *fs)
{
    for (size_t i = 0; i < fs->count; i++)
        yaml_document_delete(&fs->list[i].doc);
}

static int file_load(const char *path, struct file *ret, struct err *err)
{
    cleanup_free char *text = NULL;
    yaml_parser_t parser;
    int r = config_read_file(path, &text, err);

    if (r < 0)
        return r;
    if (!yaml_parser_initialize(&parser))
        return err_errno(err, ENOMEM, "%s", path);
    yaml_parser_set_input_string(&parser, (unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &ret->doc))
        r = err_set(err, -EINVAL, "%s: line %zu: %s", path, parser.problem_mark.line + 1,
                    str_or_empty(parser.problem));
    yaml_parser_delete(&parser);
    ret->path = path;
    return r;
}

static const char *scalar(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

/* Whether a plain word of YAML is the same value in JSON: null, true, false or a number. */
static bool is_plain_json(const yaml_node_t *n)
{
    const char *s = scalar(n);
    size_t digits;

    if (n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    if (strcmp(s, "null") == 0 || strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
        return true;
    s += *s == '-';
    digits = strspn(s, "0123456789");
    return digits > 0 && s[digits] == '\0' && (s[0] != '0' || digits == 1);
}

static yaml_node_t *member(struct file *f, const yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (str_eq(scalar(yaml_document_get_node(&f->doc, p->key)), key))
            return yaml_document_get_node(&f->doc, p->value);
    return NULL;
}

/* A member as text; NULL when it is absent, empty or null. */
static const char *text_of(const struct place *p, const char *key)
{
    const char *s = scalar(member(p->file, p->node, key));

    return s && *s && strcmp(s, "null") != 0 && strcmp(s, "~") != 0 ? s : NULL;
}

static bool truth_of(const struct place *p, const char *key)
{
    return str_eq(text_of(p, key), "true");
}

/* The entry called name of a list such as "clusters", in the first file that has it. */
static int find_entry(struct files *fs, const char *list, const char *kind, const char *name,
                      struct place *ret, struct err *err)
{
    bool found = false;

    for (size_t i = 0; i < fs->count; i++) {
        struct file *f = &fs->list[i];
        const yaml_node_t *seq = member(f, yaml_document_get_root_node(&f->doc), list);

        if (!seq || seq->type != YAML_SEQUENCE_NODE)
            continue;
        for (yaml_node_item_t *it = seq->data.sequence.items.start;
             it < seq->data.sequence.items.top; it++) {
            const yaml_node_t *entry = yaml_document_get_node(&f->doc, *it);

            if (!str_eq(scalar(member(f, entry, "name")), name))
                continue;
            if (found)
                return err_set(err, -EINVAL, "%s: %s: %s is there twice", f->path, list, name);
            found = true;
            *ret = (struct place){.file = f, .node = member(f, entry, kind)};
            snprintf(ret->what, sizeof(ret->what), "%s %s", kind, name);
        }
        if (found)
            return 0;
    }
    return err_set(err, -ENOENT, "%s: no %s %s", fs->list[0].path, kind, name);
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* A path in a file is relative to the file's folder. */
static char *path_of(const struct place *p, const char *path)
{
    const char *slash = strrchr(p->file->path, '/');

    if (*path == '/' || !slash)
        return xstrdup(path);
    return xasprintf("%.*s/%s", (int)(slash - p->file->path), p->file->path, path);
}

static int fail(const struct place *p, const char *key, struct err *err, const char *why)
{
    return err_set(err, -EINVAL, "%s: %s: %s: %s", p->file->path, p->what, key, why);
}

/* key-data as base64, or key as a file; neither: NULL. */
static int pem_of(const struct place *p, const char *key, char **ret, char **ret_file,
                  struct err *err)
{
    char data_key[64];
    const char *s;

    snprintf(data_key, sizeof(data_key), "%s-data", key);
    s = text_of(p, data_key);
    if (s) {
        *ret = base64_text(s);
        if (!*ret || !strstr(*ret, "-----BEGIN "))
            return fail(p, data_key, err, "not PEM text in base64");
        return 0;
    }
    s = text_of(p, key);
    if (!s)
        return 0;
    *ret_file = path_of(p, s);
    if (config_read_pem(*ret_file, ret, err) < 0)
        return err_prefix(err, "%s: %s: %s", p->file->path, p->what, key);
    return 0;
}

static int load_cluster(const struct place *p, struct kube_config *c, struct err *err)
{
    const char *server = text_of(p, "server");
    const char *proxy = text_of(p, "proxy-url");

    if (!server)
        return fail(p, "server", err, "missing");
    if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0)
        return fail(p, "server", err, "not a URL of http or https");
    c->server = xstrdup(server);
    for (char *end = c->server + strlen(c->server) - 1; *end == '/'; end--)
        *end = '\0';
    if (!strstr(c->server, "://"))
        return fail(p, "server", err, "a URL without a host");
    c->server_name = xstrdup(text_of(p, "tls-server-name"));
    if (proxy && config_proxy_parse(proxy, &c->proxy, err) < 0)
        return err_prefix(err, "%s: %s: proxy-url", p->file->path, p->what);
    c->insecure_skip_verify = truth_of(p, "insecure-skip-tls-verify");
    return pem_of(p, "certificate-authority", &c->ca_pem, &c->ca_file, err);
}

static int refuse_unsupported(const struct place *p, struct err *err)
{
    static const char *const keys[] = {"auth-provider", "username", "password", "as"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (member(p->file, p->node, keys[i]))
            return fail(p, keys[i], err,
                        "not supported: use a token, a client certificate or an exec plugin");
    return 0;
}

static int load_token(const struct place *p, struct kube_config *c, struct err *err)
{
    const char *file = text_of(p, "tokenFile"), *token = text_of(p, "token");

    if (file)
        c->token_file = path_of(p, file);
    if (file && config_read_token(c->token_file, &c->token, err) == 0)
        return 0;
    c->token = xstrdup(token);
    if (file && !token)
        return err_prefix(err, "%s: %s: tokenFile", p->file->path, p->what);
    return 0;
}

/* ---- plugins --------------------------------------------------------------------------------- */

/* Writes a value as JSON. Depth and size are bounded, because it goes into an environment variable
 * of the plugin. */
static int json_of(struct json_writer *w, struct file *f, const char *name, const yaml_node_t *n,
                   unsigned depth)
{
    int r = depth > CONFIG_DEPTH_MAX ? -ELOOP : 0;

    if (n->type == YAML_MAPPING_NODE) {
        json_w_object(w, name);
        for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
             r == 0 && p < n->data.mapping.pairs.top; p++)
            r = json_of(w, f, str_or_empty(scalar(yaml_document_get_node(&f->doc, p->key))),
                        yaml_document_get_node(&f->doc, p->value), depth + 1);
        json_w_end_object(w);
    } else if (n->type == YAML_SEQUENCE_NODE) {
        json_w_array(w, name);
        for (yaml_node_item_t *it = n->data.sequence.items.start;
             r == 0 && it < n->data.sequence.items.top; it++)
            r = json_of(w, f, NULL, yaml_document_get_node(&f->doc, *it), depth + 1);
        json_w_end_array(w);
    } else if (is_plain_json(n)) {
        json_w_raw(w, name, scalar(n));
    } else {
        json_w_str(w, name, scalar(n));
    }
    return r < 0 ? r : w->error;
}

/* The content of the cluster's extension with the plugin's name. */
static int exec_config(const struct place *cluster, struct kube_exec *e, struct err *err)
{
    struct file *f = cluster->file;
    const yaml_node_t *list = member(f, cluster->node, "extensions");
    cleanup_buf struct buf out = BUF_INIT(CONFIG_JSON_BYTES);
    struct json_writer w = JSON_WRITER_INIT(&out);

    if (!list || list->type != YAML_SEQUENCE_NODE)
        return 0;
    for (yaml_node_item_t *it = list->data.sequence.items.start; it < list->data.sequence.items.top;
         it++) {
        const yaml_node_t *entry = yaml_document_get_node(&f->doc, *it);
        const yaml_node_t *value = member(f, entry, "extension");

        if (!value ||
            !str_eq(scalar(member(f, entry, "name")), "client.authentication.k8s.io/exec"))
            continue;
        if (json_of(&w, f, NULL, value, 0) < 0)
            return fail(cluster, "extensions", err, "too large or too deep for a plugin");
        str_set(&e->config, buf_steal(&out));
        return 0;
    }
    return 0;
}

/* The scalars of a list, or name=value of a list of such; NULL-terminated. */
static int texts_of(const struct place *p, const char *key, bool pairs, char ***ret,
                    struct err *err)
{
    const yaml_node_t *seq = member(p->file, p->node, key);
    char **list = xcalloc(KUBE_EXEC_ARGS_MAX + 1, sizeof(*list));
    size_t count = 0;

    *ret = list; /* the caller frees it in any case */
    if (!seq || seq->type != YAML_SEQUENCE_NODE)
        return 0;
    for (yaml_node_item_t *it = seq->data.sequence.items.start; it < seq->data.sequence.items.top;
         it++) {
        const yaml_node_t *n = yaml_document_get_node(&p->file->doc, *it);
        const char *name = scalar(member(p->file, n, "name"));

        if (count == KUBE_EXEC_ARGS_MAX)
            return fail(p, key, err, "too many");
        if (pairs ? !name || !*name : !scalar(n))
            return fail(p, key, err, pairs ? "a variable without a name" : "not a text");
        list[count++] =
            pairs ? xasprintf("%s=%s", name, str_or_empty(scalar(member(p->file, n, "value"))))
                  : xstrdup(scalar(n));
    }
    return 0;
}

/* v1 has no default for it. */
static int check_interactive(const struct place *p, const char *api_version, struct err *err)
{
    const char *mode = text_of(p, "interactiveMode");

    if (!mode && strcmp(api_version, EXEC_V1) == 0)
        return fail(p, "interactiveMode", err, "missing: IfAvailable or Never");
    if (str_eq(mode, "Always"))
        return fail(p, "interactiveMode", err,
                    "the plugin needs a terminal (Always), and there is none here");
    if (mode && strcmp(mode, "Never") != 0 && strcmp(mode, "IfAvailable") != 0)
        return fail(p, "interactiveMode", err, "none of Never, IfAvailable, Always");
    return 0;
}

static int fill_exec(const struct place *p, const struct place *cluster, struct kube_exec *e,
                     struct err *err)
{
    const char *version = text_of(p, "apiVersion"), *command = text_of(p, "command");
    int r;

    if (!command)
        return fail(p, "command", err, "missing");
    if (!version || (strcmp(version, EXEC_V1) != 0 && strcmp(version, EXEC_V1BETA1) != 0))
        return fail(p, "apiVersion", err, "neither " EXEC_V1 " nor " EXEC_V1BETA1);
    e->api_version = xstrdup(version);
    e->command = strchr(command, '/') ? path_of(p, command) : xstrdup(command);
    e->hint = xstrdup(text_of(p, "installHint"));
    e->cluster_info = truth_of(p, "provideClusterInfo");
    r = check_interactive(p, version, err);
    if (r == 0)
        r = texts_of(p, "args", false, &e->args, err);
    if (r == 0)
        r = texts_of(p, "env", true, &e->env, err);
    if (r == 0 && e->cluster_info)
        r = exec_config(cluster, e, err);
    return r;
}

static int load_exec(const struct place *p, const struct place *cluster, struct kube_config *c,
                     struct err *err)
{
    struct place exec = *p;

    exec.node = member(p->file, p->node, "exec");
    if (!exec.node || exec.node->type != YAML_MAPPING_NODE || c->token || c->token_file)
        return 0;
    snprintf(exec.what, sizeof(exec.what), "%.120s: exec", p->what);
    c->exec = xcalloc(1, sizeof(*c->exec));
    return fill_exec(&exec, cluster, c->exec, err);
}

static int load_user(const struct place *p, const struct place *cluster, struct kube_config *c,
                     struct err *err)
{
    int r = refuse_unsupported(p, err);

    if (r == 0)
        r = pem_of(p, "client-certificate", &c->cert_pem, &c->cert_file, err);
    if (r == 0)
        r = pem_of(p, "client-key", &c->key_pem, &c->key_file, err);
    if (r == 0 && !c->cert_pem != !c->key_pem)
        r = fail(p, c->cert_pem ? "client-key" : "client-certificate", err, "missing");
    if (r == 0)
        r = load_token(p, c, err);
    return r < 0 ? r : load_exec(p, cluster, c, err);
}

/* ---- together -------------------------------------------------------------------------------- */

static int load_all(char *const *paths, size_t count, struct files *fs, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct err e = {0};
        int r = file_load(paths[i], &fs->list[fs->count], &e);

        if (r == -ENOENT && count > 1)
            continue;
        if (r < 0)
            return err_set(err, r, "%s", e.msg);
        fs->count++;
    }
    return fs->count ? 0 : err_set(err, -ENOENT, "%s: no such file", paths[0]);
}

static const char *current_context(struct files *fs)
{
    for (size_t i = 0; i < fs->count; i++) {
        struct file *f = &fs->list[i];
        const char *s = scalar(member(f, yaml_document_get_root_node(&f->doc), "current-context"));

        if (s && *s)
            return s;
    }
    return NULL;
}

static int load_context(struct files *fs, const char *name, struct kube_config *c, struct err *err)
{
    struct place context, cluster, user;
    int r;

    if (!name && !(name = current_context(fs)))
        return err_set(err, -EINVAL, "%s: current-context: not set", fs->list[0].path);
    r = find_entry(fs, "contexts", "context", name, &context, err);
    if (r < 0)
        return r;
    if (!text_of(&context, "cluster"))
        return fail(&context, "cluster", err, "missing");
    c->ns = xstrdup(text_of(&context, "namespace"));
    r = find_entry(fs, "clusters", "cluster", text_of(&context, "cluster"), &cluster, err);
    if (r == 0)
        r = load_cluster(&cluster, c, err);
    if (r < 0 || !text_of(&context, "user"))
        return r;
    r = find_entry(fs, "users", "user", text_of(&context, "user"), &user, err);
    return r < 0 ? r : load_user(&user, &cluster, c, err);
}

int config_load_files(char *const *paths, size_t count, const char *context,
                      struct kube_config *ret, struct err *err)
{
    struct kube_config c = {0};
    struct files fs = {.count = 0};
    int r = load_all(paths, count, &fs, err);

    if (r == 0)
        r = load_context(&fs, context, &c, err);
    files_done(&fs);
    if (r < 0)
        kube_config_done(&c);
    else
        *ret = c;
    return r;
}
