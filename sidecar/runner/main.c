/* arl-runner: arguments and verbs. */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/base.h"
#include "sidecar/runner/copy_workspace.h"
#include "sidecar/runner/frames.h"
#include "sidecar/runner/run.h"
#include "sidecar/runner/verbs.h"
#include "version.h"

static const char usage[] =
    "Usage: arl-runner run --socket PATH [-- COMMAND [ARG...]]\n"
    "       arl-runner VERB [OPTION...] PATH\n"
    "       arl-runner copy-workspace FROM TO\n"
    "       arl-runner --version\n"
    "\n"
    "run is PID 1 of a container. It starts COMMAND (if given), runs the steps that the sidecar\n"
    "sends over the socket, and reaps all processes that have lost their parents.\n"
    "copy-workspace copies files of an image into the empty volume that will be mounted over "
    "them.\n"
    "\n"
    "Verbs read and write the files of the container: put, get, ls, stat, rm, mkdir, tar, untar.\n"
    "VERB --help describes them.\n";

/* The runner's path in the user's containers. The agent's own container has nothing at this path:
 * there the verbs are refused, because nobody may read the agent's files with them. */
static const char place[] = "/.arl/" FRAMES_RUNNER_FILE;

static int usage_error(void)
{
    fputs(usage, stderr);
    return 2;
}

static int run_verb(int argc, char **argv)
{
    char exe[sizeof(place) + 1];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe));
    struct verbs_place where = {
        .here = n == (ssize_t)sizeof(place) - 1 && memcmp(exe, place, (size_t)n) == 0,
        .alone = access("/.arl/" FRAMES_ALONE_FILE, F_OK) == 0,
    };

    return verbs_main(&where, argc, argv);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        puts("arl-runner " ARL_VERSION " (" ARL_COMMIT ")");
        return 0;
    }
    if (argc >= 2 && str_is_help(argv[1])) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc >= 2 && verbs_known(argv[1]))
        return run_verb(argc - 1, argv + 1);
    if (argc == 4 && strcmp(argv[1], "copy-workspace") == 0)
        return copy_workspace(argv[2], argv[3]);
    if (argc < 4 || strcmp(argv[1], "run") != 0 || strcmp(argv[2], "--socket") != 0)
        return usage_error();
    /* The memory of a large output goes back to the kernel. */
    mallopt(M_TRIM_THRESHOLD, 32 << 10);
    mallopt(M_MMAP_THRESHOLD, 32 << 10);
    if (argc == 4)
        return runner_run(argv[3], NULL, environ);
    if (strcmp(argv[4], "--") != 0)
        return usage_error();
    return runner_run(argv[3], argc > 5 ? argv + 5 : NULL, environ);
}
