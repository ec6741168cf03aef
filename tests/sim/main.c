/*
 * sim seeds FIRST COUNT     runs seeds; prints each that fails, then a sum
 * sim hunt FIRST COUNT      the stories, then seeds, up to the first failure
 * sim trace SEED            one seed, with everything that happens
 * sim golden                the stories, compared with what the contract promises
 * sim single FIRST COUNT    stories, with one fault in every place
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <json-c/json.h>

#include "common/log.h"
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
    uint64_t failed = 0, calls = 0, hash = 0, all = 0, done = 0;
    double from = cpu_s();

    for (; done < count && failed < most_failures; done++) {
        failed += !sim_run_seed(first + done, false, &hash, &calls);
        all ^= hash;
        fflush(stdout);
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " failed, %" PRIu64
           " calls, trace %016" PRIx64 ", %.0f seeds/s of CPU time\n",
           done, first, failed, calls, all, (double)done / (cpu_s() - from));
    return failed > 0;
}

int main(int argc, char **argv)
{
    uint64_t hash, calls = 0;

    log_setup(LOG_ERROR, LOG_TEXT);
    json_global_set_string_hash(JSON_C_STR_HASH_PERLLIKE); /* the quicker one; the order stays */
    if (argc == 4 && strcmp(argv[1], "seeds") == 0)
        return run_seeds(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), 20);
    if (argc == 4 && strcmp(argv[1], "hunt") == 0)
        return golden_run() > 0 ||
               run_seeds(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), 1);
    if (argc == 2 && strcmp(argv[1], "golden") == 0)
        return golden_run() > 0;
    if (argc == 4 && strcmp(argv[1], "single") == 0)
        return single_run(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10)) > 0;
    if (argc == 3 && strcmp(argv[1], "trace") == 0)
        return !sim_run_seed(strtoull(argv[2], NULL, 10), true, &hash, &calls);
    fputs("usage: sim seeds|hunt FIRST COUNT | trace SEED | golden | single FIRST COUNT\n", stderr);
    return 2;
}
