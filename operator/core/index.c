#include "operator/core/index.h"

static const struct index_bucket empty_bucket;

static bool is_before(const struct meta *a, const struct meta *b)
{
    if (a->created_wall_ns != b->created_wall_ns)
        return a->created_wall_ns < b->created_wall_ns;
    return a->seq < b->seq;
}

/* ---- buckets --------------------------------------------------------------------------------- */

void bucket_done(struct index_bucket *b)
{
    free(b->items);
    *b = (struct index_bucket){0};
}

size_t bucket_rank(const struct index_bucket *b, const struct meta *obj)
{
    size_t from = 0, to = b->count;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (is_before(b->items[mid], obj))
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

void bucket_add(struct index_bucket *b, struct meta *obj)
{
    size_t at = bucket_rank(b, obj);

    assert(at == b->count || b->items[at] != obj);
    if (b->count == b->alloc) {
        b->alloc = b->alloc ? 2 * b->alloc : 2;
        b->items = xrealloc(b->items, b->alloc * sizeof(*b->items));
    }
    memmove(b->items + at + 1, b->items + at, (b->count - at) * sizeof(*b->items));
    b->items[at] = obj;
    b->count++;
    if (b->chosen && is_before(obj, b->chosen))
        b->chosen = NULL;
}

bool bucket_remove(struct index_bucket *b, const struct meta *obj)
{
    size_t at = bucket_rank(b, obj);

    if (at == b->count || b->items[at] != obj)
        return false;
    memmove(b->items + at, b->items + at + 1, (b->count - at - 1) * sizeof(*b->items));
    b->count--;
    if (b->chosen == obj)
        b->chosen = NULL;
    return true;
}

bool bucket_has(const struct index_bucket *b, const struct meta *obj)
{
    size_t at = bucket_rank(b, obj);

    return at < b->count && b->items[at] == obj;
}

bool bucket_sorted(const struct index_bucket *b)
{
    for (size_t i = 1; i < b->count; i++)
        if (!is_before(b->items[i - 1], b->items[i]))
            return false;
    return true;
}

void bucket_replace(struct index_bucket *b, const struct meta *was, struct meta *is)
{
    size_t at = bucket_rank(b, was);

    assert(at < b->count && b->items[at] == was);
    assert(was->created_wall_ns == is->created_wall_ns && was->seq == is->seq);
    b->items[at] = is;
    if (b->chosen == was)
        b->chosen = NULL;
}

/* ---- by key ---------------------------------------------------------------------------------- */

static void bucket_free(struct index_bucket *b)
{
    bucket_done(b);
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

void index_add(struct index *x, const char *key, struct meta *obj)
{
    struct index_bucket *b = map_ensure(&x->buckets, key, sizeof(*b));

    bucket_add(b, obj);
}

void index_remove(struct index *x, const char *key, const struct meta *obj)
{
    struct index_bucket *b = map_get(&x->buckets, key);

    if (b && bucket_remove(b, obj) && b->count == 0)
        bucket_free(map_del(&x->buckets, key));
}

void index_replace(struct index *x, const char *key, const struct meta *was, struct meta *is)
{
    struct index_bucket *b = map_get(&x->buckets, key);

    assert(b);
    bucket_replace(b, was, is);
}

const struct index_bucket *index_get(const struct index *x, const char *key)
{
    const struct index_bucket *b = map_get(&x->buckets, key);

    return b ? b : &empty_bucket;
}

void index_choose(struct index *x, const char *key, struct meta *obj)
{
    struct index_bucket *b = map_get(&x->buckets, key);

    assert(!obj || (b && bucket_has(b, obj)));
    if (b)
        b->chosen = obj;
}

size_t index_check(const struct index *x)
{
    const struct index_bucket *b;
    size_t pos = 0, count = 0;

    while ((b = map_next(&x->buckets, &pos, NULL))) {
        assert(b->count > 0);
        assert(bucket_sorted(b));
        assert(!b->chosen || bucket_has(b, b->chosen));
        count += b->count;
    }
    return count;
}
