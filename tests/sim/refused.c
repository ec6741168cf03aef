/* Each story again in a cluster whose policy refuses one kind of request, for ten minutes and then
 * no more. What is refused is asked for again with longer and longer pauses, nothing is done twice,
 * and all is well in the end. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/story.h"

#define STANDS_NS (600 * NSEC_PER_SEC)
/* One request in four seconds; a request again at once, in a loop, makes a hundred in each. */
#define MOST 150

static const char *const requests[] = {
    "POST /pods",    "PATCH /pods/",      "DELETE /pods/",
    "GET /pods/",    "PATCH /warmpools/", "PATCH /sandboxes/",
    "PATCH /tasks/", "DELETE /tasks/",    "DELETE /sandboxes/",
};

static const int statuses[] = {403, 409, 422, 500};

static void run_one(const struct story *st, const char *request, int status, uint64_t *all,
                    int *bad)
{
    struct sim *s = story_play(st, (struct sim_config){.refuse = request, .refuse_status = status});

    sim_run_until(s, s->now_ns + STANDS_NS);
    if (s->refused > MOST)
        sim_fail(s, "%" PRIu64 " requests that are refused", s->refused);
    s->cfg.refuse = NULL;
    sim_come_to_rest(s);
    if (s->failure)
        printf("    %s: %s\n", st->name, s->failure);
    *bad += s->failure != NULL;
    *all += s->refused;
    sim_free(s);
}

int refused_run(void)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        for (size_t k = 0; k < ARRAY_SIZE(statuses); k++) {
            uint64_t all = 0;
            int bad = 0;

            for (size_t n = 0; n < story_count; n++)
                run_one(&stories[n], requests[i], statuses[k], &all, &bad);
            /* Which no story asks for would be no test. */
            bad += all == 0;
            printf("%s - refused with %d: %s (%" PRIu64 " in %zu stories)\n", bad ? "not ok" : "ok",
                   statuses[k], requests[i], all, story_count);
            failed += bad > 0;
        }
    return failed;
}
