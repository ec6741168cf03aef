#include "operator/core/index.h"

static const struct index_bucket empty_bucket;

static void bucket_free(struct index_bucket *b)
{
    free(b->items);
    free(b);
}

void index_done(struct index *x)
{
    struct index_bucket *b;
    size_t pos = 0;

    while ((b = map_next(&x->buckets, &pos, NULL)))
        bucket_free(b);
    map_done(&x->buckets);
}

static bool is_before(const struct meta *a, const struct meta *b)
{
    if (a->created_wall_ns != b->created_wall_ns)
        return a->created_wall_ns < b->created_wall_ns;
    return a->seq < b->seq;
}

void index_add(struct index *x, const char *key, struct meta *obj)
{
    struct index_bucket *b = map_get(&x->buckets, key);
    size_t at;

    if (!b) {
        b = xcalloc(1, sizeof(*b));
        map_put(&x->buckets, key, b);
    }
    if (b->count == b->alloc) {
        b->alloc = b->alloc ? 2 * b->alloc : 2;
        b->items = xrealloc(b->items, b->alloc * sizeof(*b->items));
    }
    for (at = b->count; at > 0 && is_before(obj, b->items[at - 1]); at--)
        b->items[at] = b->items[at - 1];
    b->items[at] = obj;
    b->count++;
    if (b->chosen && is_before(obj, b->chosen))
        b->chosen = NULL;
}

void index_remove(struct index *x, const char *key, const struct meta *obj)
{
    struct index_bucket *b = map_get(&x->buckets, key);

    for (size_t i = 0; b && i < b->count; i++) {
        if (b->items[i] != obj)
            continue;
        memmove(b->items + i, b->items + i + 1, (b->count - i - 1) * sizeof(*b->items));
        if (b->chosen == obj)
            b->chosen = NULL;
        if (--b->count == 0)
            bucket_free(map_del(&x->buckets, key));
        return;
    }
}

const struct index_bucket *index_get(const struct index *x, const char *key)
{
    const struct index_bucket *b = map_get(&x->buckets, key);

    return b ? b : &empty_bucket;
}

void index_choose(struct index *x, const char *key, struct meta *obj)
{
    struct index_bucket *b = map_get(&x->buckets, key);

    if (b)
        b->chosen = obj;
}
