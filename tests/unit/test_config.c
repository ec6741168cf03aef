#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operator/auth/config.h"
#include "operator/auth/config_proxy.h"
#include "operator/auth/exec_proto.h"

#include "tests/unit/unit.h"

#define PEM "-----BEGIN X-----\nYQ==\n-----END X-----\n"
#define PEM_BASE64 "LS0tLS1CRUdJTiBYLS0tLS0KWVE9PQotLS0tLUVORCBYLS0tLS0K"

static char dir[] = "/tmp/arl-config-XXXXXX";

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void write_file(const char *name, const char *text)
{
    cleanup_free char *path = path_of(name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *name)
{
    cleanup_free char *path = path_of(name);

    unlink(path);
}

static const char *const files[] = {"config", "second", "third",     "ca.crt", "token",
                                    "key",    "cert",   "namespace", "bad",    "gone"};

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/arl-config-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        remove_file(files[i]);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static int load(const char *name, const char *context, struct kube_config *ret, struct err *err)
{
    cleanup_free char *path = path_of(name);
    struct kube_config_env env = {.kubeconfig_flag = path, .context = context};

    return kube_config_load(&env, ret, err);
}

#define TWO_CONTEXTS                                                                               \
    "apiVersion: v1\nkind: Config\ncurrent-context: one\n"                                         \
    "clusters:\n"                                                                                  \
    "- name: c1\n  cluster:\n    server: https://one:6443/\n"                                      \
    "    certificate-authority-data: " PEM_BASE64 "\n"                                             \
    "- {name: c2, cluster: {server: \"https://two\", certificate-authority: ca.crt,"               \
    " tls-server-name: api.two, proxy-url: \"http://proxy:3128\"}}\n"                              \
    "- {name: c3, cluster: {server: \"http://127.0.0.1:8001\", insecure-skip-tls-verify: true}}\n" \
    "contexts:\n"                                                                                  \
    "- {name: one, context: {cluster: c1, user: u1, namespace: team}}\n"                           \
    "- {name: two, context: {cluster: c2, user: u2}}\n"                                            \
    "- {name: three, context: {cluster: c3}}\n"                                                    \
    "users:\n"                                                                                     \
    "- {name: u1, user: {client-certificate-data: " PEM_BASE64 ", client-key: key}}\n"             \
    "- {name: u2, user: {token: inline, tokenFile: token}}\n"

static void test_contexts(void **state)
{
    struct kube_config c;

    write_file("config", TWO_CONTEXTS);
    write_file("ca.crt", PEM);
    write_file("key", PEM "key");
    write_file("token", "  t0ken\n");
    assert_int_equal(load("config", NULL, &c, NULL), 0);
    assert_string_equal(c.server, "https://one:6443");
    assert_string_equal(c.ns, "team");
    assert_string_equal(c.ca_pem, PEM);
    assert_string_equal(c.cert_pem, PEM);
    assert_string_equal(c.key_pem, PEM "key");
    assert_null(c.token);
    assert_false(c.insecure_skip_verify);
    kube_config_done(&c);

    assert_int_equal(load("config", "two", &c, NULL), 0);
    assert_string_equal(c.server, "https://two");
    assert_string_equal(c.ca_pem, PEM);
    assert_string_equal(c.server_name, "api.two");
    assert_string_equal(c.proxy, "http://proxy:3128");
    assert_string_equal(c.token, "t0ken");
    assert_null(c.ns);
    kube_config_done(&c);

    assert_int_equal(load("config", "three", &c, NULL), 0);
    assert_true(c.insecure_skip_verify);
    assert_null(c.token);
    kube_config_done(&c);
}

/* As Go's net/http/httpproxy decides. */
static void test_proxy_bypass(void **state)
{
    static const struct {
        const char *no_proxy;
        const char *server;
        bool want;
    } rows[] = {
        {NULL, "https://a.b:6443", false},
        {NULL, "https://localhost:6443", true},
        {NULL, "https://127.9.0.1", true},
        {NULL, "https://[::1]:6443", true},
        {NULL, "https://[::2]:6443", false},
        {"x, A.B ,y", "https://a.b:6443", true},
        {"a.b", "https://c.A.b/path", true},
        {"a.b", "https://ca.b", false},
        {".a.b", "https://a.b", false},
        {".a.b", "https://c.a.b", true},
        {"*.a.b", "https://a.b", false},
        {"*.a.b", "https://d.c.a.b", true},
        {"b", "https://me:pw@a.b:1?x", true},
        {"a.b:443", "https://a.b", true},
        {"a.b:80", "http://a.b", true},
        {"a.b:443", "https://a.b:6443", false},
        {"*", "https://10.0.0.1", true},
        {"x,*", "https://a.b", true},
        {"10.0.0.1", "https://10.0.0.1:6443", true},
        {"10.0.0.1:6443", "https://10.0.0.1:6443", true},
        {"10.0.0.1:6444", "https://10.0.0.1:6443", false},
        {"10.0.0.2", "https://10.0.0.1:6443", false},
        {"10.0.0.0/8", "https://10.255.0.1:6443", true},
        {"10.4.0.0/14", "https://10.7.0.1", true},
        {"10.4.0.0/14", "https://10.8.0.1", false},
        {"0.0.0.0/0", "https://10.8.0.1", true},
        {"10.0.0.0/33,10.0.0.0/x,/8,[,:,::::::,.", "https://10.0.0.1", false},
        {"10.0.0.0/8", "https://a.b", false},
        {"fd00::/8", "https://[fd12::1]:6443", true},
        {"fd00::/8", "https://10.0.0.1", false},
        {"[fd12::1]:6443", "https://[fd12::1]:6443", true},
        {"fd12::1", "https://[fd12::1]", true},
        {"fd12::2", "https://[fd12::1]", false},
        {"", "https://a.b", false},
        {",, ,", "https://a.b", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (config_proxy_bypass(rows[i].no_proxy, rows[i].server) != rows[i].want)
            fail_msg("NO_PROXY=%s for %s", rows[i].no_proxy, rows[i].server);
}

static void test_proxy_parse(void **state)
{
    static const struct {
        const char *url;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"http://p:3128", "http://p:3128"},
        {"HTTPS://me:pw@p", "https://me:pw@p"},
        {"socks5://p:1080", "socks5h://p:1080"},
        {"socks5h://p:1080", "socks5h://p:1080"},
        {"p:3128", "http://p:3128"},
        {"10.0.0.1", "http://10.0.0.1"},
        {"socks4://p", NULL},
        {"http://", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *got = NULL;
        struct err err = {0};
        int r = config_proxy_parse(rows[i].url, &got, &err);

        assert_int_equal(r, rows[i].want ? 0 : -EINVAL);
        if (rows[i].want)
            assert_string_equal(got, rows[i].want);
        else
            assert_non_null(strstr(err.msg, "proxy"));
    }
}

#define ONE(cluster, user)                                                                         \
    "clusters: [{name: c, cluster: {" cluster "}}]\nusers: [{name: u, user: {" user "}}]\n"        \
    "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"

#define EXEC(rest)                                                                                 \
    ONE("server: \"https://a\"", "exec: {apiVersion: client.authentication.k8s.io/v1, " rest "}")

static void test_errors(void **state)
{
    static const struct {
        const char *text;
        const char *context;
        const char *want; /* behind the file's path and ": " */
    } rows[] = {
        {ONE("server: \"https://a\"", ""), "nosuch", "no context nosuch"},
        {"clusters: []\n", NULL, "current-context: not set"},
        {"", NULL, "current-context: not set"},
        {"just text\n", NULL, "current-context: not set"},
        {ONE("", ""), NULL, "cluster c: server: missing"},
        {ONE("server: \"https://a\", proxy-url: \"ftp://p\"", ""), NULL,
         "cluster c: proxy-url: a proxy of the scheme ftp is not supported: http, https, socks5"},
        {"clusters: [{name: c}, {name: d}, {name: c}]\n"
         "contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n",
         NULL, "clusters: c is there twice"},
        {ONE("server: a:6443", ""), NULL, "cluster c: server: not a URL of http or https"},
        {ONE("server: \"https://a\", certificate-authority-data: \"%%\"", ""), NULL,
         "cluster c: certificate-authority-data: not PEM text in base64"},
        {ONE("server: \"https://a\", certificate-authority-data: YWJj", ""), NULL,
         "cluster c: certificate-authority-data: not PEM text in base64"},
        {ONE("server: \"https://a\"", "client-certificate-data: " PEM_BASE64), NULL,
         "user u: client-key: missing"},
        {ONE("server: \"https://a\"", "username: me"), NULL,
         "user u: username: not supported: use a token, a client certificate or an exec plugin"},
        {EXEC("interactiveMode: Never"), NULL, "user u: exec: command: missing"},
        {EXEC("command: x"), NULL, "user u: exec: interactiveMode: missing: IfAvailable or Never"},
        {EXEC("command: x, interactiveMode: Always"), NULL,
         "user u: exec: interactiveMode: the plugin needs a terminal (Always), and there is none "
         "here"},
        {EXEC("command: x, interactiveMode: never"), NULL,
         "user u: exec: interactiveMode: none of Never, IfAvailable, Always"},
        {EXEC("command: x, interactiveMode: Never, args: [{}]"), NULL,
         "user u: exec: args: not a text"},
        {EXEC("command: x, interactiveMode: Never, env: [{value: y}]"), NULL,
         "user u: exec: env: a variable without a name"},
        {ONE("server: \"https://a\"", "exec: {command: x, interactiveMode: Never}"), NULL,
         "user u: exec: apiVersion: neither client.authentication.k8s.io/v1 nor "
         "client.authentication.k8s.io/v1beta1"},
        {ONE("server: \"https://a\"",
             "exec: {command: x, apiVersion: client.authentication.k8s.io/v1alpha1}"),
         NULL,
         "user u: exec: apiVersion: neither client.authentication.k8s.io/v1 nor "
         "client.authentication.k8s.io/v1beta1"},
        {"contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n", NULL,
         "no cluster c"},
        {"a: b: c\n", NULL, "line 1: mapping values are not allowed in this context"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *want = xasprintf("%s/bad: %s", dir, rows[i].want);
        struct kube_config c = {.server = (char *)(uintptr_t) "untouched"};
        struct err err = {0};

        write_file("bad", rows[i].text);
        assert_true(load("bad", rows[i].context, &c, &err) < 0);
        assert_string_equal(err.msg, want);
        assert_string_equal(c.server, "untouched");
    }
}

static void test_missing_files(void **state)
{
    cleanup_free char *gone = path_of("gone");
    cleanup_free char *want = xasprintf("%s: No such file or directory", gone);
    struct kube_config c;
    struct err err = {0};

    assert_int_equal(load("gone", NULL, &c, &err), -ENOENT);
    assert_string_equal(err.msg, want);
    write_file("bad", ONE("server: \"https://a\", certificate-authority: gone", ""));
    assert_int_equal(load("bad", NULL, &c, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "bad: cluster c: certificate-authority: "));
    assert_non_null(strstr(err.msg, want));
    write_file("bad", ONE("server: \"https://a\"", "tokenFile: gone"));
    assert_int_equal(load("bad", NULL, &c, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "bad: user u: tokenFile: "));
}

static void test_merge(void **state)
{
    cleanup_free char *list = xasprintf("%s/gone::%s/second:%s/third", dir, dir, dir);
    struct kube_config_env env = {.kubeconfig = list};
    struct kube_config c;

    write_file("second", "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
                         "clusters: [{name: other, cluster: {}}]\ncurrent-context: \"\"\n");
    write_file("third", ONE("server: \"https://third\"", "token: t") "preferences: {}\n"
                                                                     "extra: [{name: x}]\n");
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.server, "https://third");
    assert_string_equal(c.token, "t");
    kube_config_done(&c);
}

/* What a cluster, a user and a context say comes from one file each, the first that has them; paths
 * are relative to that file. */
static void test_merge_whole_entries(void **state)
{
    cleanup_free char *list = xasprintf("%s/second:%s/sub/third", dir, dir);
    cleanup_free char *sub = path_of("sub");
    struct kube_config_env env = {.kubeconfig = list};
    struct kube_config c;

    assert_int_equal(mkdir(sub, 0700), 0);
    write_file("second", "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
                         "users: [{name: u, user: {tokenFile: token}}]\ncurrent-context: x\n");
    write_file("sub/third",
               "contexts: [{name: x, context: {cluster: other, user: v, namespace: n}}]\n"
               "clusters: [{name: c, cluster: {server: \"https://c\", "
               "certificate-authority: ca.crt}}]\n"
               "users: [{name: u, user: {client-certificate: c, client-key: k}}]\n"
               "current-context: y\n");
    write_file("token", "of the first\n");
    write_file("sub/ca.crt", PEM "sub");
    assert_true(kube_config_load(&env, &c, NULL) < 0); /* three words are no token */
    write_file("token", "first\n");
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.server, "https://c");
    assert_string_equal(c.token, "first");
    assert_string_equal(c.ca_pem, PEM "sub");
    assert_null(c.ns);
    assert_null(c.cert_file);
    kube_config_done(&c);
    remove_file("sub/third");
    remove_file("sub/ca.crt");
    assert_int_equal(rmdir(sub), 0);
}

/* A token beside a tokenFile stands in until the file can be read. */
static void test_token_and_file(void **state)
{
    struct kube_config c;
    struct err err = {0};

    write_file("config", ONE("server: \"https://a\"", "token: inline, tokenFile: gone"));
    assert_int_equal(load("config", NULL, &c, NULL), 0);
    assert_string_equal(c.token, "inline");
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TOKEN, &err), 0);
    assert_int_equal(err.code, -ENOENT);
    write_file("gone", "there");
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TOKEN, &err), KUBE_CONFIG_TOKEN);
    assert_string_equal(c.token, "there");
    kube_config_done(&c);
}

static void test_exec(void **state)
{
    cleanup_free char *want = xasprintf("%s/bin/plugin", dir);
    cleanup_free char *info = NULL;
    struct kube_config c;

    write_file("config",
               ONE("server: \"https://a\", certificate-authority-data: " PEM_BASE64
                   ", tls-server-name: n, proxy-url: \"socks5://p:1\", extensions: [{name: other, "
                   "extension: 1}, {name: client.authentication.k8s.io/exec, extension: {a: [1, "
                   "-20, 007, 1e3, \"2\", true, null, ~, {}], \"b\\n\": text}}]",
                   "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: bin/plugin, "
                   "args: [--one, two words, 3], env: [{name: A, value: b=c}, {name: E}], "
                   "installHint: \"apt-get it\", provideClusterInfo: true}"));
    assert_int_equal(load("config", NULL, &c, NULL), 0);
    assert_string_equal(c.exec->api_version, EXEC_V1BETA1);
    assert_string_equal(c.exec->command, want);
    assert_string_equal(c.exec->args[1], "two words");
    assert_string_equal(c.exec->args[2], "3");
    assert_null(c.exec->args[3]);
    assert_string_equal(c.exec->env[0], "A=b=c");
    assert_string_equal(c.exec->env[1], "E=");
    assert_null(c.exec->env[2]);
    assert_string_equal(c.exec->hint, "apt-get it");
    info = exec_proto_info(&c);
    assert_string_equal(
        info,
        "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"" EXEC_V1BETA1 "\","
        "\"spec\":{\"cluster\":{\"server\":\"https://a\",\"tls-server-name\":\"n\","
        "\"certificate-authority-data\":\"" PEM_BASE64 "\",\"proxy-url\":\"socks5://p:1\","
        "\"config\":{\"a\":[1,-20,\"007\",\"1e3\",\"2\",true,null,\"~\",{}],\"b\\n\":\"text\"}},"
        "\"interactive\":false}}");
    kube_config_done(&c);
}

/* The plugin is told nothing of the cluster by default. A command without a slash is looked for in
 * $PATH. With a token no plugin is needed. */
static void test_exec_plain(void **state)
{
    cleanup_free char *info = NULL;
    struct kube_config c;

    write_file("config", EXEC("command: plugin, interactiveMode: IfAvailable"));
    assert_int_equal(load("config", NULL, &c, NULL), 0);
    assert_string_equal(c.exec->command, "plugin");
    assert_null(c.exec->args[0]);
    info = exec_proto_info(&c);
    assert_string_equal(info, "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":"
                              "\"" EXEC_V1 "\",\"spec\":{\"interactive\":false}}");
    kube_config_done(&c);
    write_file("config", ONE("server: \"https://a\"", "token: t, exec: {command: plugin}"));
    assert_int_equal(load("config", NULL, &c, NULL), 0);
    assert_null(c.exec);
    kube_config_done(&c);
}

/* An extension that holds itself, and one that grows beyond all bounds. */
static void test_exec_hostile(void **state)
{
    struct kube_config c;
    struct err err = {0};

#define HOSTILE(extension)                                                                         \
    ONE("server: \"https://a\", extensions: [{name: client.authentication.k8s.io/exec, "           \
        "extension: " extension "}]",                                                              \
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never, " \
        "provideClusterInfo: true}")
    write_file("config", HOSTILE("&a [*a, *a]"));
    assert_int_equal(load("config", NULL, &c, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "cluster c: extensions: too large or too deep for a plugin"));
    write_file("config",
               HOSTILE("[&a [1,1,1,1,1,1,1,1,1], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], &c "
                       "[*b,*b,*b,*b,*b,*b,*b,*b,*b], &d [*c,*c,*c,*c,*c,*c,*c,*c,*c], &e "
                       "[*d,*d,*d,*d,*d,*d,*d,*d,*d], [*e,*e,*e,*e,*e,*e,*e,*e,*e]]"));
    assert_int_equal(load("config", NULL, &c, &err), -EINVAL);
}

/* The proxy of the environment counts if the kubeconfig names none. */
static void test_env_proxy(void **state)
{
    struct kube_config_env env = {.service_host = "10.9.0.1",
                                  .account_dir = dir,
                                  .http_proxy = "plain:1",
                                  .https_proxy = "secure:2"};
    cleanup_free char *path = path_of("config");
    struct kube_config c;
    struct err err = {0};

    write_file("token", "abc");
    write_file("ca.crt", PEM);
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.proxy, "http://secure:2");
    kube_config_done(&c);
    env.no_proxy = "10.0.0.0/8";
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_null(c.proxy);
    kube_config_done(&c);
    env.kubeconfig_flag = path;
    write_file("config", ONE("server: \"https://10.9.0.1\", proxy-url: \"http://own\"", ""));
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.proxy, "http://own"); /* NO_PROXY is not for it */
    kube_config_done(&c);
    write_file("config", ONE("server: \"http://10.9.0.1\"", ""));
    env.no_proxy = NULL;
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.proxy, "http://plain:1");
    kube_config_done(&c);
    env.http_proxy = "gopher://me:secret@p";
    assert_int_equal(kube_config_load(&env, &c, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "HTTP_PROXY: a proxy of the scheme gopher"));
    assert_null(strstr(err.msg, "secret"));
}

static void test_in_cluster(void **state)
{
    struct kube_config_env env = {
        .service_host = "10.0.0.1", .service_port = "443", .account_dir = dir};
    struct kube_config c;
    struct err err = {0};

    assert_int_equal(kube_config_load(&env, &c, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "service account: "));
    write_file("token", "abc");
    write_file("ca.crt", PEM);
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.server, "https://10.0.0.1:443");
    assert_string_equal(c.token, "abc");
    assert_string_equal(c.ca_pem, PEM);
    assert_null(c.ns);
    kube_config_done(&c);
    write_file("namespace", "arl-system\n");
    env.service_host = "fd00::1";
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_string_equal(c.server, "https://[fd00::1]:443");
    assert_string_equal(c.ns, "arl-system");
    kube_config_done(&c);
}

static void test_no_source(void **state)
{
    struct kube_config_env env = {.home = dir};
    struct kube_config c;
    struct err err = {0};

    assert_int_equal(kube_config_load(&env, &c, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "KUBERNETES_SERVICE_HOST is not set"));
    assert_non_null(strstr(err.msg, "/.kube/config"));
}

static void test_refresh(void **state)
{
    struct kube_config_env env = {.service_host = "h", .account_dir = dir};
    struct kube_config c;
    struct err err = {0};

    write_file("token", "one");
    write_file("ca.crt", PEM);
    assert_int_equal(kube_config_load(&env, &c, NULL), 0);
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TOKEN | KUBE_CONFIG_TLS, &err), 0);
    assert_int_equal(err.code, 0);
    write_file("token", "two");
    write_file("ca.crt", PEM PEM);
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TOKEN, &err), KUBE_CONFIG_TOKEN);
    assert_string_equal(c.token, "two");
    assert_string_equal(c.ca_pem, PEM);
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TLS, &err), KUBE_CONFIG_TLS);
    assert_string_equal(c.ca_pem, PEM PEM);
    write_file("token", "\n");
    write_file("ca.crt", "half written");
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TOKEN | KUBE_CONFIG_TLS, &err), 0);
    assert_non_null(strstr(err.msg, "/token: not a token"));
    remove_file("token");
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TOKEN, &err), 0);
    assert_int_equal(err.code, -ENOENT);
    assert_string_equal(c.token, "two");
    assert_string_equal(c.ca_pem, PEM PEM);
    kube_config_done(&c);
}

/* A new certificate without its key, as happens between two writes, is not taken over. */
static void test_refresh_pair(void **state)
{
    struct kube_config c;

    write_file("cert", PEM "one");
    write_file("key", PEM "one");
    write_file("config", ONE("server: \"https://a\"", "client-certificate: cert, client-key: key"));
    assert_int_equal(load("config", NULL, &c, NULL), 0);
    write_file("cert", PEM "two");
    write_file("key", "");
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TLS, NULL), 0);
    assert_string_equal(c.cert_pem, PEM "one");
    write_file("key", PEM "two");
    assert_int_equal(kube_config_refresh(&c, KUBE_CONFIG_TLS, NULL), KUBE_CONFIG_TLS);
    assert_string_equal(c.cert_pem, PEM "two");
    assert_string_equal(c.key_pem, PEM "two");
    kube_config_done(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_contexts),
        TEST(test_errors),
        TEST(test_missing_files),
        TEST(test_merge),
        TEST(test_in_cluster),
        TEST(test_no_source),
        TEST(test_refresh),
        TEST(test_refresh_pair),
        TEST(test_proxy_bypass),
        TEST(test_proxy_parse),
        TEST(test_merge_whole_entries),
        TEST(test_token_and_file),
        TEST(test_env_proxy),
        TEST(test_exec),
        TEST(test_exec_plain),
        TEST(test_exec_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
