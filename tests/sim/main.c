/*
 * sim seeds FIRST COUNT     runs seeds; prints each that fails, then a sum
 * sim hunt FIRST COUNT      the stories, then seeds, up to the first failure
 * sim trace SEED            one seed, with everything that happens
 * sim golden                the stories, compared with what the contract promises
 * sim phases FIRST COUNT    the stories, then seeds: is every move of phases made by some of them?
 * sim refused               the stories, with one kind of request refused for a while
 * sim single FIRST COUNT    stories, with one fault in every place
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <json-c/json.h>

#include "common/base/log.h"
#include "tests/sim/sim.h"
#include "tests/sim/story.h"

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_seeds(uint64_t first, uint64_t count, uint64_t most_failures)
{
    struct sim_sum sum = {0};
    uint64_t failed = 0, all = 0, done = 0;
    double from = cpu_s();

    for (; done < count && failed < most_failures; done++) {
        failed += !sim_run_seed(first + done, false, &sum);
        all ^= sum.hash;
        fflush(stdout);
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " failed, %" PRIu64
           " calls, excused: %" PRIu64 " second starts, %" PRIu64 " second pods, trace %016" PRIx64
           ", %.0f seeds/s of CPU time\n",
           done, first, failed, sum.calls, sum.known_holes, sum.doubles, all,
           (double)done / (cpu_s() - from));
    return failed > 0;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    struct sim_sum sum = {0};

    log_setup(LOG_ERROR, LOG_TEXT);
    json_global_set_string_hash(JSON_C_STR_HASH_PERLLIKE); /* the quicker hash; the order stays */
    if (argc == 4 && strcmp(argv[1], "seeds") == 0)
        return run_seeds(number(argv[2]), number(argv[3]), 20);
    if (argc == 4 && strcmp(argv[1], "phases") == 0)
        return golden_run() > 0 || run_seeds(number(argv[2]), number(argv[3]), 1) > 0 ||
               phases_never_made() > 0;
    if (argc == 4 && strcmp(argv[1], "hunt") == 0)
        return golden_run() > 0 || run_seeds(number(argv[2]), number(argv[3]), 1);
    if (argc == 2 && strcmp(argv[1], "golden") == 0)
        return golden_run() > 0;
    if (argc == 4 && strcmp(argv[1], "single") == 0)
        return single_run(number(argv[2]), number(argv[3])) > 0;
    if (argc == 2 && strcmp(argv[1], "refused") == 0)
        return refused_run() > 0;
    if (argc == 3 && strcmp(argv[1], "trace") == 0)
        return !sim_run_seed(number(argv[2]), true, &sum);
    fputs("usage: sim seeds|hunt|phases FIRST COUNT | trace SEED | golden | refused | single FIRST "
          "COUNT\n",
          stderr);
    return 2;
}
