#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/hash.h"

#define WALL_START_NS (1767323045 * NSEC_PER_SEC)
#define STEPS_AT_ONCE 20000 /* without any time between them */
#define CALLS_MAX 100000    /* thousands are many */
#define TRACE_MAX (64u << 20)

/* ---- events ---------------------------------------------------------------------------------- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void swap(struct sim *s, size_t i, size_t j)
{
    struct sim_event e = s->heap[i];

    s->heap[i] = s->heap[j];
    s->heap[j] = e;
}

void sim_at(struct sim *s, int64_t due_ns, sim_fn *fn, struct msg *m, uint64_t a, uint64_t b)
{
    size_t i = s->heap_len++;

    if (s->heap_len > s->heap_alloc) {
        s->heap_alloc = MAX(2 * s->heap_alloc, 256u);
        s->heap = xrealloc(s->heap, s->heap_alloc * sizeof(*s->heap));
    }
    s->heap[i] = (struct sim_event){MAX(due_ns, s->now_ns), s->seq++, fn, m, a, b};
    while (i > 0 && before(&s->heap[i], &s->heap[(i - 1) / 2])) {
        swap(s, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

void sim_after_ms(struct sim *s, int64_t ms, sim_fn *fn, uint64_t a, uint64_t b)
{
    sim_at(s, s->now_ns + ms * SIM_MS, fn, NULL, a, b);
}

static struct sim_event pop(struct sim *s)
{
    struct sim_event e = s->heap[0];
    size_t i = 0;

    s->heap[0] = s->heap[--s->heap_len];
    for (;;) {
        size_t c = 2 * i + 1;

        if (c + 1 < s->heap_len && before(&s->heap[c + 1], &s->heap[c]))
            c++;
        if (c >= s->heap_len || !before(&s->heap[c], &s->heap[i]))
            return e;
        swap(s, i, c);
        i = c;
    }
}

bool sim_step(struct sim *s)
{
    struct sim_event e;

    if (s->failure || s->heap_len == 0)
        return false;
    e = pop(s);
    s->steps = s->now_ns == e.due_ns ? s->steps + 1 : 0;
    s->now_ns = e.due_ns;
    if (s->steps > STEPS_AT_ONCE || s->calls > CALLS_MAX)
        sim_fail(s, "goes round without end");
    e.fn(s, e.m, e.a, e.b);
    return !s->failure;
}

void sim_run_until(struct sim *s, int64_t ns)
{
    while (!s->failure && s->heap_len > 0 && s->heap[0].due_ns <= ns)
        sim_step(s);
    if (!s->failure)
        s->now_ns = MAX(s->now_ns, ns);
}

/* ---- chance ---------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t sim_random(struct sim *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

uint64_t sim_below(struct sim *s, uint64_t n)
{
    return n ? sim_random(s) % n : 0;
}

bool sim_chance(struct sim *s, unsigned thousandths)
{
    return !s->cfg.calm && thousandths > 0 && sim_below(s, 1000) < thousandths;
}

int64_t sim_between(struct sim *s, int64_t min, int64_t max)
{
    if (s->cfg.calm || max <= min)
        return min;
    return min + (int64_t)sim_below(s, (uint64_t)(max - min + 1));
}

int64_t sim_wall_ns(const struct sim *s)
{
    return WALL_START_NS + s->now_ns;
}

/* ---- the trace ------------------------------------------------------------------------------- */

static void keep(struct sim *s, const char *line)
{
    s->hash = hash_add(hash_text(s->hash, line), (uint64_t)s->now_ns);
    if (!s->cfg.keep_trace)
        return;
    s->trace.max = TRACE_MAX;
    buf_printf(&s->trace, "%10.3f %s\n", (double)s->now_ns / 1e9, line);
}

void sim_note(struct sim *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    keep(s, line);
}

void sim_move(struct sim *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    s->moves.max = TRACE_MAX;
    if (s->cfg.calm)
        buf_printf(&s->moves, "%s\n", line);
    keep(s, line);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    if (s->failure)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    s->failure = xasprintf("at %.3f s: %s", (double)s->now_ns / 1e9, line);
    keep(s, line);
}
