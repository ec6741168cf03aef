/* The stories and what the contract promises of them. The moves are written by hand from there. */
#include <stdio.h>

#include "tests/sim/story.h"

#define FILLED "pod 1: made, not ready, ready\n"
#define POOL_TAKEN "pool p: Pending, Ready, Pending, Ready\n"
#define TAKEN "pod 1: made, not ready, ready, bound to s\n"
#define REFILL "pod 2: made, not ready, ready\n"
#define READY_BOX TAKEN REFILL POOL_TAKEN "sandbox s: Ready\n"
#define READY_BOX_AFTER_FORGED                                                                     \
    TAKEN "pod 3: made, not ready, ready\n" POOL_TAKEN "sandbox s: Ready\n"
#define WITH_BOX "0 pool p 1 a\n3000 box s p\n"
#define THREE_BOXES "0 pool p 3 a\n8000 box b p\n8001 box c p\n8002 box s p\n"
#define THREE_READY                                                                                \
    "attempt ns/t/1: starts, Completed 0\nattempt ns/u/1: starts, Completed 0\n"                   \
    "attempt ns/v/1: starts, Completed 0\npod 1: made, not ready, ready, bound to b\n"             \
    "pod 2: made, not ready, ready, bound to c\npod 3: made, not ready, ready, bound to s\n"       \
    "pod 4: made, not ready, ready\npod 5: made, not ready, ready\n"                               \
    "pod 6: made, not ready, ready\n" POOL_TAKEN                                                   \
    "sandbox b: Ready\nsandbox c: Ready\nsandbox s: Ready\n"

const struct story stories[] = {
    {"a pool is filled", "0 pool p 1 a", FILLED "pool p: Pending, Ready\n", 0},
    {"a pool of none is ready", "0 pool p 0 a", "pool p: Ready\n", 0},
    {"a pool is scaled up", "0 pool p 1 a\n3000 scale p 2",
     FILLED "pod 2: made, not ready, ready\npool p: Pending, Ready, Scaling, Ready\n", 0},
    {"a pool is scaled down, the youngest pod goes", "0 pool p 1 a\n3000 scale p 2\n9000 scale p 1",
     FILLED "pod 2: made, not ready, ready, deleting, gone\n"
            "pool p: Pending, Ready, Scaling, Ready\n",
     0},
    {"a pool that is deleted takes its pods along", "0 pool p 1 a\n3000 delete WarmPool p",
     "pod 1: made, not ready, ready, deleting, gone\npool p: Pending, Ready, gone\n", 0},
    {"a pool is deleted without its pods", "0 pool p 1 a\n3000 orphan WarmPool p",
     "pod 1: made, not ready, ready, deleting, gone\npool p: Pending, Ready, gone\n", 0},
    {"a pool is made anew over its orphans",
     "0 pool p 1 a\n3000 orphan WarmPool p\n3000 pool p 1 a",
     "pod 1: made, not ready, ready, deleting, gone\n" REFILL
     "pool p: Pending, Ready, gone, Pending, Ready\n",
     0},
    {"a sandbox gets a warm pod, the pool another one", WITH_BOX, READY_BOX, 0},
    /* The pod is taken when it gets ready, so the pool is not Ready before its second one. */
    {"a sandbox waits for the first pod", "0 pool p 1 a\n0 box s p",
     TAKEN REFILL "pool p: Pending, Ready\nsandbox s: Pending, Ready\n", 0},
    {"a sandbox without a pool fails", "0 box s p", "sandbox s: Pending, Failed\n", 0},
    {"a sandbox is made before its pool", "0 box s p\n5000 pool p 1 a",
     TAKEN REFILL "pool p: Pending, Ready\nsandbox s: Pending, Ready\n", 0},
    {"a sandbox of an empty pool fails in the end", "0 pool p 0 a\n3000 box s p",
     "pool p: Ready\nsandbox s: Pending, Failed\n", 0},
    {"first come, first served", "0 pool p 1 a\n3000 box s p\n3001 box b p",
     TAKEN "pod 2: made, not ready, ready, bound to b\npod 3: made, not ready, ready\n"
           "pool p: Pending, Ready, Pending, Ready\nsandbox b: Pending, Ready\nsandbox s: Ready\n",
     0},
    {"a sandbox that is deleted takes its pod along", WITH_BOX "9000 delete Sandbox s",
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, gone\n",
     0},
    {"a sandbox is deleted without its pod",
     WITH_BOX "9000 task t s 60000:0\n12000 orphan Sandbox s",
     "attempt ns/t/1: starts, Canceled 137\n"
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, gone\ntask t: Running, Failed (SandboxDeleted)\n",
     0},
    {"a sandbox is made anew under its name", WITH_BOX "9000 delete Sandbox s\n9000 box s p",
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n"
     "pod 2: made, not ready, ready, bound to s\npod 3: made, not ready, ready\n"
     "pool p: Pending, Ready, Pending, Ready, Pending, Ready\nsandbox s: Ready, gone, Ready\n",
     0},
    {"a short task ends", WITH_BOX "9000 task t s 20:0",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Succeeded (Completed)\n", 0},
    {"a long task runs", WITH_BOX "9000 task t s 5000:0",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Running, Succeeded (Completed)\n",
     0},
    {"a step fails, the next does not run", WITH_BOX "9000 task t s 20:0;20:42;20:0",
     "attempt ns/t/1: starts, StepFailed 42\n" READY_BOX "task t: Failed (StepFailed)\n", 0},
    {"a failed task is tried again", WITH_BOX "9000 task t s 20:7 ,\"retries\":1",
     "attempt ns/t/1: starts, StepFailed 7\nattempt ns/t/2: starts, StepFailed 7\n" READY_BOX
     "task t: Running, Failed (StepFailed)\n",
     0},
    {"a step has a limit", WITH_BOX "9000 task t s 5000:0 ,\"timeout\":\"2s\"",
     "attempt ns/t/1: starts, StepFailed 124\n" READY_BOX "task t: Running, Failed (StepFailed)\n",
     0},
    {"a task without a sandbox fails", "5000 task t s 20:0",
     "task t: Pending, Failed (SandboxNotFound)\n", 0},
    {"a task waits for its sandbox", "0 pool p 1 a\n3000 task t s 20:0\n5000 box s p",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX
     "task t: Pending, Running, Succeeded (Completed)\n",
     0},
    /* One that has waited for others for 0.8 s is Pending, and begins when Running is written. */
    {"tasks run one by one", WITH_BOX "9000 task b s 1000:0\n9001 task a s 20:0",
     "attempt ns/a/1: starts, Completed 0\nattempt ns/b/1: starts, Completed 0\n" READY_BOX
     "task a: Pending, Running, Succeeded (Completed)\ntask b: Running, Succeeded (Completed)\n",
     0},
    /* The next operator lists the later one first: it asks the agent before it begins anything. */
    {"the operator dies under the first of two tasks of a second",
     WITH_BOX "9000 task b s 3000:0\n9001 task a s 20:0\n9200 kill 0",
     "attempt ns/a/1: starts, Completed 0\nattempt ns/b/1: starts, Completed 0\n" READY_BOX
     "task a: Succeeded (Completed)\ntask b: Running, Succeeded (Completed)\n",
     0},
    {"a task that is deleted is stopped", WITH_BOX "9000 task t s 60000:0\n12000 delete Task t",
     "attempt ns/t/1: starts, Canceled 137\n" READY_BOX "task t: Running, gone\n", 0},
    {"a task that is deleted is over before the next one begins",
     WITH_BOX "9000 task t s 60000:0\n9500 task u s 20:0\n12000 delete Task t",
     "attempt ns/t/1: starts, Canceled 137\nattempt ns/u/1: starts, Completed 0\n" READY_BOX
     "task t: Running, gone\ntask u: Pending, Running, Succeeded (Completed)\n",
     0},
    {"a sandbox is deleted under its task",
     WITH_BOX "9000 task t s 60000:0\n12000 delete Sandbox s",
     "attempt ns/t/1: starts, Canceled 137\n"
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, gone\ntask t: Running, Failed (SandboxDeleted)\n",
     0},
    {"a task that is no good fails alone",
     WITH_BOX "9000 task t s 20:0 ,\"timeout\":\"banana\"\n9000 task u s 20:0",
     "attempt ns/u/1: starts, Completed 0\n" READY_BOX
     "task t: Failed (InvalidSpec)\ntask u: Succeeded (Completed)\n",
     0},
    {"a finished task goes when its time is over",
     WITH_BOX "9000 task t s 20:0 ,\"ttlSecondsAfterFinished\":5",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Succeeded (Completed), gone\n", 0},
    /* The claim takes effect at 3001.3. */
    {"the operator dies in a claim, the pod is not ready meanwhile",
     WITH_BOX "3001.4 kill 0\n3002 unready 1\n30000 ready 1",
     "pod 1: made, not ready, ready, bound to s, not ready, ready\n" REFILL POOL_TAKEN
     "sandbox s: Bound, Ready\n",
     0},
    {"the operator dies in a claim, the pod is evicted later",
     WITH_BOX "3001.4 kill 0\n3002 unready 1\n30000 evict 1",
     "pod 1: made, not ready, ready, bound to s, not ready, failed\n" REFILL POOL_TAKEN
     "sandbox s: Bound, Failed\n",
     0},
    {"the operator dies in a claim, the pod is ready again too late",
     WITH_BOX "3001.4 kill 0\n3002 unready 1\n200000 ready 1",
     "pod 1: made, not ready, ready, bound to s, not ready, ready\n" REFILL POOL_TAKEN
     "sandbox s: Bound, Failed\n",
     0},
    {"the operator dies in the claim of a sandbox that has waited",
     "0 box s p\n5000 pool p 1 a\n5523.0 kill 0\n5525 unready 1\n30000 ready 1",
     "pod 1: made, not ready, ready, bound to s, not ready, ready\n" REFILL
     "pool p: Pending, Ready\nsandbox s: Pending, Bound, Ready\n",
     0},
    {"an idle pod is evicted", "0 pool p 1 a\n3000 evict 1",
     "pod 1: made, not ready, ready, failed, deleting, gone\n" REFILL POOL_TAKEN, 0},
    {"a bound pod is evicted", WITH_BOX "9000 task t s 60000:0\n12000 evict 1",
     "attempt ns/t/1: starts\n"
     "pod 1: made, not ready, ready, bound to s, failed\n" REFILL POOL_TAKEN
     "sandbox s: Ready, Failed\ntask t: Running, Failed (PodLost)\n",
     0},
    {"a bound pod is deleted by somebody", WITH_BOX "9000 remove 1",
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, Failed\n",
     0},
    {"a node is away for a while", WITH_BOX "9000 task t s 30000:0\n12000 lose 1\n40000 return 1",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Running, Succeeded (Completed)\n",
     0},
    {"a node is lost under a task",
     WITH_BOX "9000 task t s 1000000:0 ,\"timeout\":\"30m\"\n12000 lose 1\n900000 return 1",
     "attempt ns/t/1: starts\n"
     "pod 1: made, not ready, ready, bound to s, not ready, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, Bound, Failed\ntask t: Running, Failed (AgentUnavailable)\n",
     0},
    {"a node comes back with a task that was given up, another one follows",
     WITH_BOX "9000 task t s 1000000:0 ,\"timeout\":\"30m\"\n12000 lose 1\n120000 return 1\n"
              "130000 task u s 20:0",
     "attempt ns/t/1: starts, Canceled 137\nattempt ns/u/1: starts, Completed 0\n"
     "pod 1: made, not ready, ready, bound to s, not ready, ready\n" REFILL POOL_TAKEN
     "sandbox s: Ready\ntask t: Running, Failed (AgentUnavailable)\n"
     "task u: Succeeded (Completed)\n",
     0},
    {"a node is lost under idle pods", "0 pool p 1 a\n3000 lose 1\n900000 return 1",
     "pod 1: made, not ready, ready, not ready, deleting, gone\n" REFILL
     "pool p: Pending, Ready, Pending, Degraded, Pending, Ready\n",
     0},
    {"a forged pod is left alone", "0 pool p 1 a\n3000 forge\n6000 box s p", READY_BOX_AFTER_FORGED,
     0},
    {"a container ends for good under a sandbox", WITH_BOX "9000 end 1",
     "pod 1: made, not ready, ready, bound to s, not ready\n" REFILL POOL_TAKEN
     "sandbox s: Ready, Failed\n",
     0},
    {"a container ends for good under a task",
     WITH_BOX "9000 task t s 1000000:0 ,\"timeout\":\"30m\"\n12000 end 1\n90000 delete Sandbox s",
     "attempt ns/t/1: starts, Canceled 137\n"
     "pod 1: made, not ready, ready, bound to s, not ready, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, Failed, gone\ntask t: Running, Failed (SandboxFailed)\n",
     0},
    {"a container of an idle pod ends for good", "0 pool p 1 a\n3000 end 1",
     "pod 1: made, not ready, ready, not ready, deleting, gone\n" REFILL POOL_TAKEN, 0},
    {"a bound pod loses its label", WITH_BOX "9000 unlabel 1", READY_BOX, 0},
    {"a template change replaces idle pods", "0 pool p 1 a\n3000 image p b",
     "pod 1: made, not ready, ready, deleting, gone\n" REFILL POOL_TAKEN, 0},
    {"a template change leaves bound pods alone", WITH_BOX "9000 image p b",
     TAKEN "pod 2: made, not ready, ready, deleting, gone\npod 3: made, not ready, ready\n"
           "pool p: Pending, Ready, Pending, Ready, Pending, Ready\nsandbox s: Ready\n",
     0},
    {"an image that cannot be had", "0 pool p 1 bad-image",
     "pod 1: made, not ready\npool p: Pending, Degraded\n", 0},
    {"an image is repaired", "0 pool p 1 bad-image\n5000 image p a",
     "pod 1: made, not ready, deleting, gone\npod 2: made, not ready, ready\n"
     "pool p: Pending, Degraded, Ready\n",
     0},
    {"a sandbox is idle for too long", "0 pool p 1 a\n3000 box s p ,\"idleTimeoutSeconds\":20",
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, gone\n",
     0},
    {"a sandbox has lived for long enough",
     "0 pool p 1 a\n3000 box s p ,\"maxLifetimeSeconds\":20\n9000 task t s 60000:0",
     "attempt ns/t/1: starts, Canceled 137\n"
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, gone\ntask t: Running, Failed (SandboxDeleted)\n",
     0},
    {"the agent restarts under a task", WITH_BOX "9000 task t s 60000:0\n12000 restart 1",
     "attempt ns/t/1: starts, AgentLost 137\n" READY_BOX
     "task t: Running, Failed (AgentRestarted)\n",
     0},
    {"a lost attempt is made again",
     WITH_BOX "9000 task t s 5000:0 ,\"retries\":1\n12000 restart 1",
     "attempt ns/t/1: starts, AgentLost 137\nattempt ns/t/2: starts, Completed 0\n" READY_BOX
     "task t: Running, Succeeded (Completed)\n",
     0},
    {"a task is deleted while no operator looks",
     WITH_BOX "9000 task t s 600000:0\n11000 kill 0\n11001 delete Task t",
     "attempt ns/t/1: starts, Canceled 137\n" READY_BOX "task t: Running, gone\n", 0},
    {"a task is deleted while no operator looks, another one waits",
     WITH_BOX "9000 task t s 600000:0\n9500 task u s 20:0\n11000 kill 0\n11001 delete Task t",
     "attempt ns/t/1: starts, Canceled 137\nattempt ns/u/1: starts, Completed 0\n" READY_BOX
     "task t: Running, gone\ntask u: Pending, Running, Succeeded (Completed)\n",
     0},
    {"a sandbox is made anew while the earlier one is asked what runs there",
     WITH_BOX "9000 lose 1\n9001 kill 0\n11000 delete Sandbox s\n11500 box s p\n"
              "20000 task t s 60000:0\n20001 task u s 20:0\n22000 delete Task t\n60000 return 1",
     "attempt ns/t/1: starts, Canceled 137\nattempt ns/u/1: starts, Completed 0\n"
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n"
     "pod 2: made, not ready, ready, bound to s\npod 3: made, not ready, ready\n"
     "pool p: Pending, Ready, Pending, Ready, Pending, Ready\nsandbox s: Ready, gone, Ready\n"
     "task t: Running, gone\ntask u: Pending, Running, Succeeded (Completed)\n",
     0},
    {"a task keeps its sandbox alive",
     "0 pool p 1 a\n3000 box s p ,\"idleTimeoutSeconds\":20\n9000 task t s 60000:0",
     "attempt ns/t/1: starts, Completed 0\n"
     "pod 1: made, not ready, ready, bound to s, deleting, gone\n" REFILL POOL_TAKEN
     "sandbox s: Ready, gone\ntask t: Running, Succeeded (Completed)\n",
     0},
    {"a claim that is refused holds nobody up",
     "0 pool p 1 a\n2900 deny s\n3000 box s p\n3001 box b p\n30000 allow",
     "pod 1: made, not ready, ready, bound to b\npod 2: made, not ready, ready, bound to s\n"
     "pod 3: made, not ready, ready\npool p: Pending, Ready, Pending, Ready, Pending, Ready\n"
     "sandbox b: Ready\nsandbox s: Pending, Ready\n",
     0},
    /* The status goes out with the claim, where claims were accepted before. */
    {"a claim that is refused after others keeps its pod",
     "0 pool p 2 a\n3000 box b p\n9000 deny s\n9100 box s p\n9101 box u p\n30000 allow",
     "pod 1: made, not ready, ready, bound to b\npod 2: made, not ready, ready, bound to s\n"
     "pod 3: made, not ready, ready, bound to u\npod 4: made, not ready, ready\n"
     "pod 5: made, not ready, ready\npool p: Pending, Ready, Scaling, Ready, Pending, Ready\n"
     "sandbox b: Ready\nsandbox s: Ready, Bound, Ready\nsandbox u: Ready\n",
     0},
    {"a webhook is down under the ends of tasks",
     THREE_BOXES "12000 task t b 600:0\n12000 task u c 600:0\n12000 task v s 600:0\n"
                 "12100 webhook\n20000 allow\n",
     THREE_READY "task t: Succeeded (Completed)\ntask u: Succeeded (Completed)\n"
                 "task v: Succeeded (Completed)\n",
     0},
    {"tasks that print much, of large objects",
     THREE_BOXES "12000 chatty t b 40 120\n12000 chatty u c 40 120\n12000 chatty v s 40 120\n",
     THREE_READY "task t: Running, Succeeded (Completed)\ntask u: Running, Succeeded (Completed)\n"
                 "task v: Running, Succeeded (Completed)\n",
     0, true},
    {"a task is too large for any end of its steps",
     WITH_BOX "9000 large t s 1567000\n9001 task u s 20:0",
     "attempt ns/u/1: starts, Completed 0\n" READY_BOX
     "task t: Failed (SpecTooLarge)\ntask u: Succeeded (Completed)\n",
     0, true},
    /* An Event tells of the large task, and the tasks behind it go on. */
    {"a task is too large for any status", WITH_BOX "9000 large t s 1572300\n9001 task u s 20:0",
     "attempt ns/u/1: starts, Completed 0\n" READY_BOX
     "task t: SpecTooLarge\ntask u: Succeeded (Completed)\n",
     0, true},
    {"the operator dies under a task", WITH_BOX "9000 task t s 5000:0\n11000 kill 0",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Running, Succeeded (Completed)\n",
     0},
    {"the leader hands over under a task", WITH_BOX "9000 task t s 9000:0\n11000 release 0",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Running, Succeeded (Completed)\n",
     2},
    {"the leader stands still under a task", WITH_BOX "9000 task t s 30000:0\n11000 stop 0",
     "attempt ns/t/1: starts, Completed 0\n" READY_BOX "task t: Running, Succeeded (Completed)\n",
     2},
};
const size_t story_count = ARRAY_SIZE(stories);

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines, sorted: no order between objects is promised. */
static char *sorted(const char *text)
{
    cleanup_free char *copy = xstrdup(text);
    struct buf out = BUF_INIT(1u << 20);
    char *lines[64], *save = NULL;
    size_t n = 0;

    for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        lines[n++] = l;
    qsort(lines, n, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s\n", lines[i]);
    return buf_steal(&out);
}

int golden_run(void)
{
    int failed = 0;

    for (size_t i = 0; i < story_count; i++) {
        struct sim *s = story_run(&stories[i], FAULT_NONE, 0, WATCH_FINE, 0);
        cleanup_free char *is = story_moves(s), *should = sorted(stories[i].moves);
        bool ok = !s->failure && strcmp(is, should) == 0;

        printf("%s - story: %s\n", ok ? "ok" : "not ok", stories[i].name);
        if (!ok)
            printf("--- promised\n%s--- told\n%s%s\n", should, is, str_or_empty(s->failure));
        failed += !ok;
        sim_free(s);
    }
    return failed;
}
