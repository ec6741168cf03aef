#include "operator/auth/config_proxy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define HOST_MAX 256 /* names are shorter; a longer text matches nothing */

/* ---- hosts ----------------------------------------------------------------------------------- */

struct host {
    char name[HOST_MAX]; /* in lower case, without brackets */
    char port[8];        /* "": none */
    int family;          /* AF_INET or AF_INET6; 0: a name */
    unsigned char ip[16];
};

static unsigned ip_bytes(int family)
{
    return family == AF_INET ? 4 : 16;
}

static int ip_parse(const char *text, unsigned char *ret)
{
    if (inet_pton(AF_INET, text, ret) == 1)
        return AF_INET;
    return inet_pton(AF_INET6, text, ret) == 1 ? AF_INET6 : 0;
}

/* "name", "name:port", "10.0.0.1:80", "fd00::1", "[fd00::1]:80" of len bytes; false: none. */
static bool host_parse(const char *s, size_t len, struct host *ret)
{
    const char *colon = memrchr(s, ':', len);
    size_t name_len;

    *ret = (struct host){0};
    if (len > 0 && s[0] == '[') {
        const char *end = memchr(s, ']', len);

        if (!end || (colon && colon > end + 1))
            return false;
        if (!colon || colon < end)
            colon = NULL;
        s++;
        name_len = (size_t)(end - s);
        len--;
    } else {
        /* Two colons and no brackets: an IPv6 address without a port. */
        if (colon && memchr(s, ':', (size_t)(colon - s)))
            colon = NULL;
        name_len = colon ? (size_t)(colon - s) : len;
    }
    if (name_len == 0 || name_len >= sizeof(ret->name))
        return false;
    for (size_t i = 0; i < name_len; i++)
        ret->name[i] = (char)tolower((unsigned char)s[i]);
    if (colon)
        snprintf(ret->port, sizeof(ret->port), "%.*s", (int)(s + len - colon - 1), colon + 1);
    ret->family = ip_parse(ret->name, ret->ip);
    return true;
}

/* The host of a URL of a known scheme. */
static bool url_host(const char *url, struct host *ret)
{
    const char *begin = strstr(url, "://") + 3;
    size_t len = strcspn(begin, "/?#");
    const char *at = memrchr(begin, '@', len);

    if (at) {
        len -= (size_t)(at + 1 - begin);
        begin = at + 1;
    }
    if (!host_parse(begin, len, ret))
        return false;
    if (!ret->port[0])
        snprintf(ret->port, sizeof(ret->port), "%s", strncmp(url, "https:", 6) == 0 ? "443" : "80");
    return true;
}

static bool is_this_machine(const struct host *h)
{
    static const unsigned char loopback6[16] = {[15] = 1};

    if (h->family == AF_INET)
        return h->ip[0] == 127;
    if (h->family == AF_INET6)
        return memcmp(h->ip, loopback6, sizeof(loopback6)) == 0;
    return strcmp(h->name, "localhost") == 0;
}

/* ---- NO_PROXY -------------------------------------------------------------------------------- */

/* "10.0.0.0/8", "fd00::/8". *ret_is_net: whether the word is one at all. */
static bool net_matches(const char *word, const struct host *h, bool *ret_is_net)
{
    const char *slash = strchr(word, '/');
    unsigned char net[16];
    char text[HOST_MAX], *end;
    unsigned long bits;
    int family;

    *ret_is_net = false;
    if (!slash || (size_t)(slash - word) >= sizeof(text) || !isdigit((unsigned char)slash[1]))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)(slash - word), word);
    family = ip_parse(text, net);
    bits = strtoul(slash + 1, &end, 10);
    if (!family || *end || bits > ip_bytes(family) * 8)
        return false;
    *ret_is_net = true;
    if (family != h->family || memcmp(net, h->ip, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || (net[bits / 8] ^ h->ip[bits / 8]) >> (8 - bits % 8) == 0;
}

/* "a.b" is a.b and all below it, ".a.b" and "*.a.b" only what is below it. */
static bool name_matches(const char *pattern, const struct host *h)
{
    size_t name_len = strlen(h->name), len;

    if (strncmp(pattern, "*.", 2) == 0)
        pattern++;
    if (pattern[0] != '.' && strcmp(h->name, pattern) == 0)
        return true;
    pattern += pattern[0] == '.';
    len = strlen(pattern);
    return name_len > len + 1 && h->name[name_len - len - 1] == '.' &&
           strcmp(h->name + name_len - len, pattern) == 0;
}

/* A word without spaces around, in lower case. */
static bool word_matches(const char *word, const struct host *h)
{
    struct host want;
    bool is_net;

    if (strcmp(word, "*") == 0 || net_matches(word, h, &is_net))
        return true;
    if (is_net || !host_parse(word, strlen(word), &want))
        return false;
    if (want.port[0] && strcmp(want.port, h->port) != 0)
        return false;
    if (want.family)
        return want.family == h->family && memcmp(want.ip, h->ip, ip_bytes(h->family)) == 0;
    return name_matches(want.name, h);
}

bool config_proxy_bypass(const char *no_proxy, const char *server)
{
    struct host h;

    if (!url_host(server, &h))
        return false;
    if (is_this_machine(&h))
        return true;
    for (const char *p = str_or_empty(no_proxy); *p;) {
        size_t len = strcspn(p, ","), skip = MIN(strspn(p, " \t"), len), end = len;
        char word[HOST_MAX];

        while (end > skip && isspace((unsigned char)p[end - 1]))
            end--;
        snprintf(word, sizeof(word), "%.*s", (int)(end - skip), p + skip);
        for (char *c = word; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (word[0] && word_matches(word, &h))
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

/* ---- the proxy itself ------------------------------------------------------------------------ */

int config_proxy_parse(const char *url, char **ret, struct err *err)
{
    static const char *const schemes[][2] = {
        {"http", "http"}, {"https", "https"}, {"socks5", "socks5h"}, {"socks5h", "socks5h"}};
    const char *rest = strstr(url, "://");
    struct host h;

    if (!rest) {
        cleanup_free char *full = xasprintf("http://%s", url);

        return config_proxy_parse(full, ret, err);
    }
    if (!url_host(url, &h))
        return err_set(err, -EINVAL, "not the URL of a proxy");
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if ((size_t)(rest - url) == strlen(schemes[i][0]) &&
            strncasecmp(url, schemes[i][0], strlen(schemes[i][0])) == 0) {
            *ret = xasprintf("%s%s", schemes[i][1], rest);
            return 0;
        }
    }
    return err_set(err, -EINVAL, "a proxy of the scheme %.*s is not supported: http, https, socks5",
                   (int)MIN(rest - url, 32), url);
}
