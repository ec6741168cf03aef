/*
 * How many requests may be under way to one server (pure). The number follows from the answers:
 *
 * - An answer 429 or 503, or none in time, halves it. Answers to requests that were sent before the
 *   last change say nothing new, and do not count.
 * - Otherwise it is looked at once a round, which is as many answers as may be under way. From the
 *   quickest answer of late and the mean of the round follows how many of them the server worked on
 *   at the same time (Little's law); the others waited there. If it was half of them or more, it
 *   can do more: a quarter is added. If it was less than an eighth, a quarter is taken away, down
 *   to the number at the start: below that, a server that others keep busy would only answer fewer
 *   of ours in a second. So a round without a refusal also leads back to that number.
 * - A round in which fewer were under way than may be says nothing.
 *
 * So a server that is far away gets many at once, a busy one few. With an API server on two cores,
 * bursts of 20 and 50 writes end soonest with 6 to 12.
 */
#ifndef ARL_COMMON_IO_SEND_WINDOW_H
#define ARL_COMMON_IO_SEND_WINDOW_H

#include "common/base/base.h"

#define SEND_WINDOW_MIN 2
#define SEND_WINDOW_START 8
#define SEND_WINDOW_MAX 16 /* a TLS connection takes 70 KiB */

struct send_window {
    unsigned size;      /* how many may be under way */
    unsigned answers;   /* of this round */
    bool full;          /* in this round so many were under way */
    int64_t took_ns;    /* all answers of this round together */
    int64_t best_ns;    /* the quickest answer of late; 0: none yet */
    int64_t aged_ns;    /* when best_ns was last made larger, so that it is forgotten in time */
    int64_t changed_ns; /* when the size changed last */
};

void send_window_init(struct send_window *w);
/* A request that was sent at sent_ns was answered now (times of one monotonic clock). refused: the
 * server has too much to do, or did not answer in time. under_way: the number before this answer.
 */
void send_window_answer(struct send_window *w, int64_t sent_ns, int64_t now_ns, bool refused,
                        unsigned under_way);

#endif
