/*
 * Every receiver parses what the model of the API server sends; that took half of a run's time. So
 * this file remembers the texts of objects with their trees. json_parse() returns the remembered
 * tree of a text that is the same, byte for byte. Nobody may change such a tree: the model makes
 * new ones, the operator only reads. Other texts go through parse.c first. With ARL_SIM_PARSE=1
 * every text is parsed by json_parse() itself, and the traces have to be the same.
 *
 * All calls of json_parse() in the simulator come here (-Wl,--wrap=json_parse).
 */
#include "tests/sim/sim.h"

#include <json-c/json.h>

#include "common/base/json.h"

#define PLACES 4096

static struct known {
    const char *text; /* owned by the log of changes */
    size_t len;
    struct json_object *tree;
} table[PLACES];

int __real_json_parse(const char *data, size_t len, struct json_object **ret, struct err *err);
int __wrap_json_parse(const char *data, size_t len, struct json_object **ret, struct err *err);

static struct known *place_of(const char *text, size_t len)
{
    uint64_t h = len, word;

    for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
        h ^= h >> 29;
    }
    return &table[h % PLACES];
}

static bool is_off(void)
{
    static int off = -1;

    if (off < 0)
        off = getenv("ARL_SIM_PARSE") != NULL;
    return off;
}

void known_add(const char *text, struct json_object *tree)
{
    size_t len = strlen(text);
    struct known *k;

    if (is_off())
        return;
    k = place_of(text, len);
    json_object_put(k->tree);
    *k = (struct known){text, len, json_object_get(tree)};
}

void known_clear(void)
{
    for (size_t i = 0; i < PLACES; i++)
        json_object_put(table[i].tree);
    memset(table, 0, sizeof(table));
}

static struct json_object *find(const char *text, size_t len)
{
    const struct known *k = place_of(text, len);

    return k->tree && k->len == len && memcmp(k->text, text, len) == 0 ? json_object_get(k->tree)
                                                                       : NULL;
}

struct json_object *known_part(const char *text, size_t len)
{
    static struct part {
        char *text;
        size_t len;
        struct json_object *tree;
    } parts[256];
    struct part *p = &parts[(place_of(text, len) - table) % ARRAY_SIZE(parts)];

    if (is_off())
        return NULL;
    if (p->tree && p->len == len && memcmp(p->text, text, len) == 0)
        return json_object_get(p->tree);
    json_free(&p->tree);
    str_set(&p->text, xmemdup0(text, len));
    p->len = len;
    return __real_json_parse(text, len, &p->tree, NULL) < 0 ? NULL : json_object_get(p->tree);
}

/* {"type":"TYPE","object":TEXT} around a known text. */
static struct json_object *find_event(const char *line, size_t len)
{
    static const char head[] = "{\"type\":\"", mid[] = "\",\"object\":";
    const char *type = line + sizeof(head) - 1, *object;
    struct json_object *tree, *event;
    size_t n = 0;

    if (len < 64 || memcmp(line, head, sizeof(head) - 1) != 0 || line[len - 1] != '}')
        return NULL;
    while (n < 16 && type[n] >= 'A' && type[n] <= 'Z')
        n++;
    object = type + n + sizeof(mid) - 1;
    if (memcmp(type + n, mid, sizeof(mid) - 1) != 0)
        return NULL;
    tree = find(object, (size_t)(line + len - 1 - object));
    if (!tree)
        return NULL;
    event = json_object_new_object();
    json_object_object_add(event, "type", json_object_new_string_len(type, (int)n));
    json_object_object_add(event, "object", tree);
    return event;
}

int __wrap_json_parse(const char *data, size_t len, struct json_object **ret, struct err *err)
{
    struct json_object *tree = is_off() ? NULL : find(data, len);

    if (!tree && !is_off())
        tree = find_event(data, len);
    if (!tree && !is_off())
        tree = parse_quickly(data, len);
    if (!tree)
        return __real_json_parse(data, len, ret, err);
    *ret = tree;
    return 0;
}
