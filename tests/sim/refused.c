/* Each story again, while one kind of request is refused for ten minutes, as a policy of the
 * cluster may do. A refused request is made again after longer and longer pauses, nothing is done
 * twice, and all is well in the end. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/story.h"

#define STANDS_NS (600 * NSEC_PER_SEC)

/* "METHOD PART-OF-PATH", and how often it may be asked for in a run of ten minutes: about once in
 * four seconds of the API server, once a second of an agent. A loop without pauses makes hundreds
 * of requests in each of them. */
static const struct request {
    const char *what;
    uint64_t most;
} requests[] = {
    {"POST ns/pods", 150},         {"PATCH ns/pods/", 150},      {"DELETE ns/pods/", 150},
    {"GET ns/pods/", 150},         {"PATCH ns/warmpools/", 150}, {"PATCH ns/sandboxes/", 150},
    {"DELETE ns/sandboxes/", 150}, {"PATCH ns/tasks/", 150},     {"DELETE ns/tasks/", 150},
    {"PUT v1/tasks/", 600},        {"GET v1/tasks", 600},        {"DELETE v1/tasks/", 600},
    {"POST v1/acknowledged", 600},
};

static const int statuses[] = {403, 409, 422, 500};

static void run_one(const struct story *st, const struct request *r, int status, uint64_t *all,
                    int *bad)
{
    struct sim *s = story_play(st, (struct sim_config){.refuse = r->what, .refuse_status = status});

    sim_run_until(s, s->now_ns + STANDS_NS);
    if (s->refused > r->most)
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
                if (!stories[n].large)
                    run_one(&stories[n], &requests[i], statuses[k], &all, &bad);
            /* A kind of request that no story makes would test nothing. */
            bad += all == 0;
            printf("%s - refused with %d: %s (%" PRIu64 " in %zu stories)\n", bad ? "not ok" : "ok",
                   statuses[k], requests[i].what, all, story_count);
            failed += bad > 0;
        }
    return failed;
}
