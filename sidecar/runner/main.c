/* arl-runner: arguments and verbs. */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base.h"
#include "sidecar/runner/run.h"
#include "version.h"

static const char usage[] =
    "Usage: arl-runner run --socket PATH [-- COMMAND [ARG...]]\n"
    "       arl-runner --version\n"
    "\n"
    "PID 1 of a container: starts COMMAND (if given), runs what the sidecar behind the socket\n"
    "asks for, and reaps what nobody waits for.\n";

static int usage_error(void)
{
    fputs(usage, stderr);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        puts("arl-runner " ARL_VERSION " (" ARL_COMMIT ")");
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc < 4 || strcmp(argv[1], "run") != 0 || strcmp(argv[2], "--socket") != 0)
        return usage_error();
    /* Gives back what large output took. */
    mallopt(M_TRIM_THRESHOLD, 32 << 10);
    mallopt(M_MMAP_THRESHOLD, 32 << 10);
    if (argc == 4)
        return runner_run(argv[3], NULL, environ);
    if (strcmp(argv[4], "--") != 0)
        return usage_error();
    return runner_run(argv[3], argc > 5 ? argv + 5 : NULL, environ);
}
