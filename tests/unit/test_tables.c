/* State tables: each pair of states is tried, and ends the process if the table does not have it.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/sm.h"
#include "common/io/http_call_state.h"
#include "operator/agent/errands.h"
#include "operator/core/write_state.h"
#include "operator/core/plan.h"
#include "operator/kube/queue.h"
#include "tests/unit/unit.h"

static const struct {
    const struct sm_table *table;
    const char *moves; /* FROM: those that may follow */
} rows[] = {
    {&sandbox_table, "none: Pending Bound Ready Failed\n"
                     "Pending: Bound Ready Failed\n"
                     "Bound: Ready Failed\n"
                     "Ready: Bound Failed\n"
                     "Failed:\n"},
    {&task_table, "none: Pending Running Succeeded Failed\n"
                  "Pending: Running Succeeded Failed\n"
                  "Running: Succeeded Failed\n"
                  "Succeeded:\n"
                  "Failed:\n"},
    {&errand_table, "new: gathering in-line asking over\n"
                    "gathering: asking\n"
                    "in-line: held asking over\n"
                    "held: in-line\n"
                    "asking: pausing over\n"
                    "pausing: in-line asking over\n"
                    "over:\n"},
    {&queue_table, "idle: ready delayed\n"
                   "ready: idle\n"
                   "delayed: idle ready\n"},
    {&write_table, "begun: reading ended\n"
                   "reading: pausing ended\n"
                   "pausing: reading\n"
                   "ended:\n"},
    {&http_call_table, "waiting: running ended\n"
                       "running: ended zombie\n"
                       "ended:\n"
                       "zombie:\n"},
};

/* Makes the move in a process of its own. */
static bool is_made(const struct sm_table *t, size_t from, size_t to)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        sm_move(t, from, to);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGABRT);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_each_pair(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf made = BUF_INIT(4096);
        const struct sm_table *t = rows[i].table;

        for (size_t from = 0; from < t->count; from++) {
            buf_printf(&made, "%s:", sm_state_str(t, from));
            for (size_t to = 0; to < t->count; to++)
                if (is_made(t, from, to))
                    buf_printf(&made, " %s", sm_state_str(t, to));
            buf_printf(&made, "\n");
        }
        assert_string_equal(buf_str(&made), rows[i].moves);
    }
}

static void test_states_that_do_not_exist(void **state)
{
    const struct sm_table *t = &task_table;

    assert_false(is_made(t, t->count, TASK_FAILED));
    assert_false(is_made(t, TASK_STATE_NONE, t->count));
    assert_string_equal(sm_state_str(t, t->count), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pair),
        cmocka_unit_test(test_states_that_do_not_exist),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
