#include "common/io/send_window.h"

#include "common/base/clock.h"

/* Without a quick answer best_ns doubles in about two minutes. */
#define AGE_NS (10 * NSEC_PER_SEC)
#define AGE_PART 16
#define STEP_PART 4

void send_window_init(struct send_window *w)
{
    *w = (struct send_window){.size = SEND_WINDOW_START};
}

static void begin_round(struct send_window *w)
{
    w->answers = 0;
    w->took_ns = 0;
    w->full = false;
}

static void resize(struct send_window *w, unsigned size, int64_t now_ns)
{
    assert(size > 0);
    w->size = MAX(MIN(size, SEND_WINDOW_MAX), SEND_WINDOW_MIN);
    w->changed_ns = now_ns;
    begin_round(w);
}

static void note_best(struct send_window *w, int64_t took_ns, int64_t now_ns)
{
    if (w->best_ns == 0 || took_ns < w->best_ns) {
        w->best_ns = MAX(took_ns, 1);
        w->aged_ns = now_ns;
    } else if (now_ns - w->aged_ns >= AGE_NS) {
        w->best_ns += w->best_ns / AGE_PART;
        w->aged_ns = now_ns;
    }
}

static void end_round(struct send_window *w, int64_t now_ns)
{
    int64_t mean_ns = MAX(w->took_ns / w->answers, w->best_ns);
    unsigned step = MAX(w->size / STEP_PART, 1u);
    /* In eighths of the window: how many of it the server worked on. */
    int64_t served = 8 * w->best_ns / mean_ns;

    if (!w->full)
        begin_round(w);
    else if (served >= 4)
        resize(w, w->size + step, now_ns);
    else if (w->size < SEND_WINDOW_START) /* it had refused some, and does so no more */
        resize(w, MIN(w->size + step, SEND_WINDOW_START), now_ns);
    else if (served < 1)
        resize(w, MAX(w->size - step, SEND_WINDOW_START), now_ns);
    else
        begin_round(w);
}

void send_window_answer(struct send_window *w, int64_t sent_ns, int64_t now_ns, bool refused,
                        unsigned under_way)
{
    if (sent_ns < w->changed_ns)
        return;
    if (refused) {
        resize(w, w->size / 2, now_ns);
        return;
    }
    note_best(w, now_ns - sent_ns, now_ns);
    w->full |= under_way >= w->size;
    w->took_ns += now_ns - sent_ns;
    if (++w->answers >= w->size)
        end_round(w, now_ns);
}
