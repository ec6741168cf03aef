/* Each story again with one fault: each kind of fault at each call, and each kind of watch fault at
 * each watch event. Nothing may be lost or done twice, and the story has to end as it does without
 * the fault. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/story.h"

struct tally {
    unsigned runs;
    unsigned failed;
};

/* Whether the story has to end as it does without the fault. A script does not wait: if the fault
 * makes the operator some seconds late, an accident of the script meets other objects. */
static bool comparable(const struct story *st, enum fault f, enum watch_fault wf)
{
    bool accident = strstr(st->script, "evict") || strstr(st->script, "restart") ||
                    strstr(st->script, "remove") || strstr(st->script, "lose") ||
                    strstr(st->script, "unready");

    /* Which pod the dead operator has taken decides what the accident meets. */
    bool raced = strstr(st->script, "kill") != NULL;

    return f < FAULT_HANG && !(accident && (raced || wf != WATCH_FINE));
}

/*
 * The ends that a crash may change, on purpose:
 * - An operator that finds a new task which is older than its sandbox cannot know whether one
 *   before it has begun that task in an earlier sandbox of the same name. It fails the task rather
 *   than perhaps run it twice (task_plan.c, begin()).
 * - The next operator counts the minute of an agent's silence from its own start. So a lost node
 *   has more time to come back.
 * - An answer 429 in the agent's place has the same effect: the minute counts from the last answer
 *   that was not believed.
 */
static bool may_differ(const struct story *st, enum fault f, const char *is)
{
    static const struct {
        const char *story;
        const char *ends;
        bool by_429; /* and not by a crash alone */
    } rows[] = {
        {"a task waits for its sandbox", "pool p: Ready\nsandbox s: Ready\ntask t: Failed\n",
         false},
        {"a node comes back with a task that was given up, another one follows",
         "pool p: Ready\nsandbox s: Ready\ntask t: Succeeded\ntask u: Succeeded\n", true},
    };
    bool crash = f == FAULT_CRASH_BEFORE || f == FAULT_CRASH_SENT || f == FAULT_CRASH_ANSWERED;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if ((crash || (rows[i].by_429 && f == FAULT_429)) && strcmp(st->name, rows[i].story) == 0 &&
            strcmp(is, rows[i].ends) == 0)
            return true;
    return false;
}

static void run_one(const struct story *st, const char *ends, enum fault f, unsigned at,
                    enum watch_fault wf, unsigned watch_at, struct tally *t)
{
    struct sim *s = story_run(st, f, at, wf, watch_at);
    cleanup_free char *is = story_ends(s);

    t->runs++;
    if (s->failure || (comparable(st, f, wf) && strcmp(is, ends) != 0 && !may_differ(st, f, is))) {
        t->failed++;
        printf("  %s: %s at call %u, watch fault %d at event %u: %s\n", st->name, fault_str(f), at,
               (int)wf, watch_at, s->failure ? s->failure : is);
    }
    sim_free(s);
}

static void run_story(const struct story *st, struct tally *t)
{
    struct sim *s = story_run(st, FAULT_NONE, 0, WATCH_FINE, 0);
    cleanup_free char *ends = story_ends(s);
    unsigned events = s->api.watch_events;
    uint64_t calls = s->calls_in_story;

    if (s->failure)
        t->failed++;
    sim_free(s);
    for (unsigned at = 1; at <= calls; at++)
        for (int f = FAULT_NONE + 1; f < FAULTS; f++)
            run_one(st, ends, (enum fault)f, at, WATCH_FINE, 0, t);
    for (unsigned at = 1; at <= events; at++)
        for (int f = WATCH_FINE + 1; f < WATCH_FAULTS; f++)
            run_one(st, ends, FAULT_NONE, 0, (enum watch_fault)f, at, t);
}

int single_run(size_t first, size_t count)
{
    int failed = 0;

    for (size_t i = first; i < story_count && i < first + count; i++) {
        struct tally t = {0};

        if (stories[i].large)
            continue;

        run_story(&stories[i], &t);
        printf("%s - single faults: %s (%u runs)\n", t.failed ? "not ok" : "ok", stories[i].name,
               t.runs);
        fflush(stdout);
        failed += t.failed > 0;
    }
    return failed;
}
