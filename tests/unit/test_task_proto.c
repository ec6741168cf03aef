#include <errno.h>
#include <stdio.h>

#include "common/base/limits.h"
#include "common/wire/task_proto.h"

#include "tests/unit/unit.h"

static const struct task_request_head head = {
    .sandbox_uid = "sb-1",
    .task_name = "ns/t",
    .trace_id = "tr\"ace",
    .work_dir = "/workspace",
    .timeout_ms = 1500,
    .output_limit = 262144,
};

static int decode_text(const char *text, struct task_request *r, struct err *err)
{
    return task_request_decode(text, strlen(text), r, err);
}

/* Encodes with the steps given and decodes again. */
static void round_trip(const char *steps, struct task_request *r)
{
    cleanup_buf struct buf b = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    struct err err;

    assert_int_equal(task_request_encode(&head, steps, &b, &err), 0);
    assert_int_equal(task_request_decode(b.data, b.len, r, &err), 0);
}

static void test_request(void **state)
{
    CLEANUP(task_request_done) struct task_request r = {0};
    const struct task_step *s;

    round_trip("[{\"name\":\"a\",\"type\":\"Command\",\"command\":[\"sh\",\"-c\",\"\"],\"env\":"
               "{\"A\":\"1\",\"B\":\"\"},\"workDir\":\"sub\",\"container\":\"two\",\"extra\":1},"
               "{\"name\":\"b\",\"type\":\"FilePatch\",\"path\":\"x\",\"content\":\"a\\u0000b\"},"
               "{\"type\":\"FilePatch\",\"path\":\"\",\"content\":null,\"env\":null}]",
               &r);
    assert_string_equal(r.sandbox_uid, "sb-1");
    assert_string_equal(r.task_name, "ns/t");
    assert_string_equal(r.trace_id, "tr\"ace");
    assert_string_equal(r.work_dir, "/workspace");
    assert_int_equal(r.timeout_ms, 1500);
    assert_int_equal(r.output_limit, 262144);
    assert_int_equal(r.step_count, 3);
    s = &r.steps[0];
    assert_null(s->invalid);
    assert_int_equal(s->type, STEP_COMMAND);
    assert_int_equal(s->argc, 3);
    assert_string_equal(s->argv[2], "");
    assert_null(s->argv[3]);
    assert_int_equal(s->env_count, 2);
    assert_string_equal(s->env[1].name, "B");
    assert_string_equal(s->work_dir, "sub");
    assert_string_equal(s->container, "two");
    s = &r.steps[1];
    assert_int_equal(s->type, STEP_FILE_PATCH);
    assert_string_equal(s->path, "x");
    assert_int_equal(s->content_len, 3);
    assert_memory_equal(s->content, "a\0b", 3);
    s = &r.steps[2];
    assert_null(s->invalid);
    assert_string_equal(s->name, "");
    assert_null(s->path);
    assert_int_equal(s->content_len, 0);
}

static void test_file_fields(void **state)
{
    CLEANUP(task_request_done) struct task_request r = {0};

    round_trip("[{\"type\":\"FilePatch\",\"path\":\"x\",\"encoding\":\"base64\",\"mode\":\"0755\","
               "\"content\":\"AAEC\\n/w==\\n\"},"
               "{\"type\":\"FilePatch\",\"path\":\"x\",\"encoding\":\"text\",\"mode\":\"4700\","
               "\"patch\":\"@@\"},"
               "{\"type\":\"FilePatch\",\"path\":\"x\",\"encoding\":\"base64\",\"mode\":null}]",
               &r);
    for (size_t i = 0; i < r.step_count; i++)
        assert_null(r.steps[i].invalid);
    assert_int_equal(r.steps[0].mode, 0755);
    assert_int_equal(r.steps[0].content_len, 4);
    assert_memory_equal(r.steps[0].content, "\0\1\2\377", 4);
    assert_false(r.steps[0].is_patch);
    assert_true(r.steps[1].is_patch);
    assert_int_equal(r.steps[1].mode, 04700);
    assert_memory_equal(r.steps[1].content, "@@", 2);
    assert_int_equal(r.steps[2].mode, -1);
    assert_int_equal(r.steps[2].content_len, 0);
}

/* The API server keeps null in a field of a step that may be left out: it is the same as nothing.
 */
static void test_nulls_of_steps(void **state)
{
    CLEANUP(task_request_done) struct task_request r = {0};

    round_trip(
        "[{\"name\":null,\"type\":\"Command\",\"command\":[\"a\"],\"env\":null,\"stdin\":null,"
        "\"stdinEncoding\":null,\"stdinFile\":null,\"user\":null,\"onError\":null,\"workDir\":"
        "null,\"container\":null,\"path\":null,\"content\":null,\"patch\":null},"
        "{\"type\":\"FilePatch\",\"path\":\"x\",\"content\":\"c\",\"patch\":null,\"encoding\":"
        "null,\"fuzz\":null,\"mode\":null,\"command\":null}]",
        &r);
    for (size_t i = 0; i < r.step_count; i++) {
        const struct task_step *s = &r.steps[i];

        assert_null(s->invalid);
        assert_string_equal(s->name, "");
        assert_int_equal(s->env_count, 0);
        assert_null(s->stdin_data);
        assert_null(s->stdin_file);
        assert_null(s->user);
        assert_null(s->work_dir);
        assert_null(s->container);
        assert_false(s->goes_on);
        assert_false(s->is_patch);
        assert_int_equal(s->mode, -1);
        assert_int_equal(s->fuzz, 0);
    }
    assert_int_equal(r.steps[1].content_len, 1);
}

static void test_sandbox_env_is_below_the_steps(void **state)
{
    CLEANUP(task_request_done) struct task_request r = {0};
    cleanup_buf struct buf b = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    struct task_request_head with_env = head;
    struct err err;

    with_env.env_json = "[{\"name\":\"A\",\"value\":\"s\"},{\"name\":\"B\",\"value\":\"1\"},"
                        "{\"name\":\"B\",\"value\":\"2\"},{\"name\":\"C\"}]";
    assert_int_equal(task_request_encode(&with_env,
                                         "[{\"type\":\"Command\",\"command\":[\"x\"],\"env\":"
                                         "{\"A\":\"own\"}},{\"type\":\"FilePatch\",\"path\":"
                                         "\"p\"}]",
                                         &b, &err),
                     0);
    assert_int_equal(task_request_decode(b.data, b.len, &r, &err), 0);
    assert_int_equal(r.steps[0].env_count, 3);
    assert_string_equal(r.steps[0].env[0].value, "own");
    assert_string_equal(r.steps[0].env[1].name, "C");
    assert_string_equal(r.steps[0].env[1].value, "");
    assert_string_equal(r.steps[0].env[2].name, "B");
    assert_string_equal(r.steps[0].env[2].value, "2");
    assert_int_equal(r.steps[1].env_count, 0);
}

static void test_bad_sandbox_env_is_a_bad_request(void **state)
{
    static const char *const envs[] = {"{}", "[{}]", "[{\"name\":\"\"}]", "[{\"name\":\"a=b\"}]",
                                       "[7]"};

    for (size_t i = 0; i < ARRAY_SIZE(envs); i++) {
        cleanup_buf struct buf b = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
        struct task_request_head with_env = head;
        struct task_request r = {0};
        struct err err;

        with_env.env_json = envs[i];
        assert_int_equal(task_request_encode(&with_env, "[]", &b, &err), 0);
        assert_int_equal(task_request_decode(b.data, b.len, &r, &err), -EINVAL);
        assert_non_null(strstr(err.msg, "env"));
    }
}

static void test_bad_steps(void **state)
{
    static const struct {
        const char *steps, *sentence;
    } rows[] = {
        {NULL, "the task has no steps"},
        {"[]", "the task has no steps"},
        {"{}", "the steps of the task are not a list"},
        {"[null]", "it is not an object"},
        {"[7]", "it is not an object"},
        {"[{}]", "type is missing"},
        {"[{\"type\":\"Dance\"}]", "unknown type \"Dance\", known are Command and FilePatch"},
        {"[{\"type\":3}]", "type is not a string"},
        {"[{\"type\":\"Command\"}]", "command is missing"},
        {"[{\"type\":\"Command\",\"command\":[]}]", "command is empty"},
        {"[{\"type\":\"Command\",\"command\":[\"\"]}]", "command is empty"},
        {"[{\"type\":\"Command\",\"command\":\"ls\"}]", "command is not a list of strings"},
        {"[{\"type\":\"Command\",\"command\":[\"a\",1]}]", "command[1] is not a string"},
        {"[{\"type\":\"Command\",\"command\":[\"a\",null]}]", "command[1] is not a string"},
        {"[{\"type\":\"Command\",\"command\":[\"a\\u0000b\"]}]", "command[0] holds a NUL byte"},
        {"[{\"type\":\"Command\",\"command\":[\"a\"],\"env\":[]}]",
         "env is not an object of strings"},
        {"[{\"type\":\"Command\",\"command\":[\"a\"],\"env\":{\"A\":1}}]",
         "env[\"A\"] is not a string"},
        {"[{\"type\":\"Command\",\"command\":[\"a\"],\"env\":{\"A=B\":\"\"}}]",
         "env: \"A=B\" is not a name"},
        {"[{\"type\":\"Command\",\"command\":[\"a\"],\"workDir\":4}]", "workDir is not a string"},
        {"[{\"type\":\"FilePatch\",\"path\":{}}]", "path is not a string"},
        {"[{\"type\":\"FilePatch\",\"path\":\"a\",\"content\":1}]", "content is not a string"},
        {"[{\"type\":\"FilePatch\",\"patch\":1}]", "patch is not a string"},
        {"[{\"type\":\"FilePatch\",\"content\":\"\",\"patch\":\"\"}]",
         "content and patch do not go together"},
        {"[{\"type\":\"FilePatch\",\"encoding\":\"hex\"}]",
         "unknown encoding \"hex\", known are text and base64"},
        {"[{\"type\":\"FilePatch\",\"encoding\":7}]", "encoding is not a string"},
        {"[{\"type\":\"FilePatch\",\"encoding\":\"base64\",\"patch\":\"YQ\"}]",
         "patch is not base64"},
        {"[{\"type\":\"FilePatch\",\"patch\":\"\",\"fuzz\":3}]",
         "fuzz is not a number from 0 to 2"},
        {"[{\"type\":\"FilePatch\",\"patch\":\"\",\"fuzz\":\"1\"}]",
         "fuzz is not a number from 0 to 2"},
        {"[{\"type\":\"FilePatch\",\"encoding\":\"base64\",\"content\":\"YQ\"}]",
         "content is not base64"},
        {"[{\"type\":\"FilePatch\",\"encoding\":\"base64\",\"content\":\"YQ==x\"}]",
         "content is not base64"},
        {"[{\"type\":\"FilePatch\",\"encoding\":\"base64\",\"content\":\"\\u00e4bc=\"}]",
         "content is not base64"},
        {"[{\"type\":\"FilePatch\",\"mode\":\"0888\"}]",
         "mode \"0888\" is not octal digits such as 0644"},
        {"[{\"type\":\"FilePatch\",\"mode\":\"00644\"}]",
         "mode \"00644\" is not octal digits such as 0644"},
        {"[{\"type\":\"FilePatch\",\"mode\":\"44\"}]",
         "mode \"44\" is not octal digits such as 0644"},
        {"[{\"type\":\"FilePatch\",\"mode\":420}]", "mode is not a string"},
        {"[{\"name\":1,\"type\":\"FilePatch\",\"path\":\"a\"}]", "name is not a string"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(task_request_done) struct task_request r = {0};

        round_trip(rows[i].steps, &r);
        assert_int_equal(r.step_count, 1);
        assert_non_null(r.steps[0].name);
        assert_non_null(r.steps[0].invalid);
        assert_string_equal(r.steps[0].invalid, rows[i].sentence);
    }
}

static void test_too_many_steps(void **state)
{
    CLEANUP(task_request_done) struct task_request r = {0};
    cleanup_buf struct buf steps = BUF_INIT(100000);

    buf_puts(&steps, "[{}");
    for (int i = 0; i < LIMIT_STEPS; i++)
        buf_puts(&steps, ",{}");
    buf_puts(&steps, "]");
    round_trip(buf_str(&steps), &r);
    assert_int_equal(r.step_count, 1);
    assert_string_equal(r.steps[0].invalid, "the task has 257 steps, 256 are the most");
}

static void test_too_many_values(void **state)
{
    CLEANUP(task_request_done) struct task_request r = {0};
    cleanup_buf struct buf steps = BUF_INIT(1000000), body = BUF_INIT(1000000);
    struct err err;

    /* Commas inside of strings do not count, and neither does a quote that is escaped. */
    buf_puts(&steps, "[{\"type\":\"Command\",\"command\":[\"\\\"");
    for (int i = 0; i < LIMIT_TASK_REQUEST_VALUES; i++)
        buf_puts(&steps, ",");
    buf_puts(&steps, "\"]}]");
    round_trip(buf_str(&steps), &r);
    assert_int_equal(r.steps[0].argc, 1);
    steps.len -= 3;
    for (int i = 0; i < LIMIT_TASK_REQUEST_VALUES; i++)
        buf_puts(&steps, ",\"\"");
    buf_puts(&steps, "]}]");
    assert_int_equal(task_request_encode(&head, buf_str(&steps), &body, NULL), 0);
    assert_int_equal(task_request_decode(body.data, body.len, &r, &err), -EINVAL);
    assert_string_equal(err.msg, "the request has more than 65536 values");
}

static void test_request_too_long(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(64);
    struct err err;

    assert_int_equal(task_request_encode(&head, "[]", &b, &err), -ENOBUFS);
    assert_string_equal(err.msg, "the task's request is longer than 64 bytes");
}

#define GOOD_TAIL "\"workDir\":\"/w\",\"timeoutMs\":5,\"outputLimit\":5,\"steps\":[{}]}"

static void test_bad_requests(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "nul",
        "{",
        "{" GOOD_TAIL,
        "{\"sandboxUID\":\"\"," GOOD_TAIL,
        "{\"sandboxUID\":1," GOOD_TAIL,
        "{\"sandboxUID\":\"a\",\"task\":[]," GOOD_TAIL,
        "{\"sandboxUID\":\"a\",\"workDir\":\"/w\",\"timeoutMs\":0,\"outputLimit\":5}",
        "{\"sandboxUID\":\"a\",\"workDir\":\"/w\",\"timeoutMs\":\"5\",\"outputLimit\":5}",
        "{\"sandboxUID\":\"a\",\"workDir\":\"/w\",\"timeoutMs\":5}",
        "{\"sandboxUID\":\"a\",\"workDir\":\"w\",\"timeoutMs\":5,\"outputLimit\":5}",
        "{\"sandboxUID\":\"a\",\"timeoutMs\":5,\"outputLimit\":5}",
        "{\"sandboxUID\":\"a\"," GOOD_TAIL "x",
    };
    struct task_request r = {.step_count = 77};
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(decode_text(rows[i], &r, &err), -EINVAL);
        assert_int_equal(r.step_count, 77);
    }
    assert_int_equal(decode_text("{\"sandboxUID\":\"a\"," GOOD_TAIL, &r, &err), 0);
    task_request_done(&r);
}

/* Every prefix of a good request, and every byte of it changed: an answer, never a crash. */
static void test_request_mutations(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(10000);

    task_request_encode(&head,
                        "[{\"name\":\"a\",\"type\":\"Command\",\"command\":[\"x\"],\"env\":{\"A\":"
                        "\"1\"}}]",
                        &b, NULL);
    for (size_t i = 0; i < b.len; i++) {
        struct task_request r = {0};

        assert_int_equal(task_request_decode(b.data, i, &r, NULL), -EINVAL);
        b.data[i] ^= 0x15;
        if (task_request_decode(b.data, b.len, &r, NULL) == 0)
            task_request_done(&r);
        b.data[i] ^= 0x15;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static const struct {
    struct task_event ev;
    const char *line;
} events[] = {
    {{.seq = 1, .type = TASK_EVENT_ACCEPTED}, "{\"seq\":1,\"type\":\"accepted\"}\n"},
    {{.seq = 2, .type = TASK_EVENT_STEP, .step = 3, .time_unix_ms = 1767323045123},
     "{\"seq\":2,\"type\":\"step\",\"step\":3,\"timeUnixMs\":1767323045123}\n"},
    {{.seq = 3, .type = TASK_EVENT_OUT, .step = 0, .fd = 1, .data = "hi\0\xff\n", .data_len = 5},
     "{\"seq\":3,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":\"aGkA/wo=\"}\n"},
    {{.seq = 4, .type = TASK_EVENT_GAP, .step = 0, .fd = 2, .gap_bytes = 1ULL << 40},
     "{\"seq\":4,\"type\":\"gap\",\"step\":0,\"fd\":2,\"bytes\":1099511627776}\n"},
    {{.seq = 5, .type = TASK_EVENT_EXIT, .step = 1, .code = 0, .duration_ns = 12},
     "{\"seq\":5,\"type\":\"exit\",\"step\":1,\"code\":0,\"durationNs\":12}\n"},
    {{.seq = 6, .type = TASK_EVENT_EXIT, .step = 1, .code = 124, .error = "timed \"out\""},
     "{\"seq\":6,\"type\":\"exit\",\"step\":1,\"code\":124,\"durationNs\":0,"
     "\"error\":\"timed \\\"out\\\"\"}\n"},
    {{.seq = 6, .type = TASK_EVENT_EXIT, .step = 1, .code = 1, .error = "e", .spool = "/a /b"},
     "{\"seq\":6,\"type\":\"exit\",\"step\":1,\"code\":1,\"durationNs\":0,\"error\":\"e\","
     "\"spool\":\"/a /b\"}\n"},
    {{.seq = 6, .type = TASK_EVENT_EXIT, .step = 1, .spool = "/a"},
     "{\"seq\":6,\"type\":\"exit\",\"step\":1,\"code\":0,\"durationNs\":0,\"spool\":\"/a\"}\n"},
    {{.seq = 7, .type = TASK_EVENT_END, .code = 1, .reason = TASK_END_AGENT_LOST},
     "{\"seq\":7,\"type\":\"end\",\"code\":1,\"durationNs\":0,\"reason\":\"AgentLost\"}\n"},
    {{.type = TASK_EVENT_TAIL, .step = 1, .fd = 2, .gap_bytes = 7, .data = "hi\n", .data_len = 3},
     "{\"seq\":0,\"type\":\"tail\",\"step\":1,\"fd\":2,\"bytes\":7,\"data\":\"aGkK\"}\n"},
};

static void assert_event_equal(const struct task_event *a, const struct task_event *b)
{
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->fd, b->fd);
    assert_int_equal(a->data_len, b->data_len);
    if (b->data)
        assert_memory_equal(a->data, b->data, b->data_len);
    assert_int_equal(a->gap_bytes, b->gap_bytes);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->duration_ns, b->duration_ns);
    assert_int_equal(a->time_unix_ms, b->time_unix_ms);
    assert_true(str_eq(a->error, b->error));
    assert_true(str_eq(a->spool, b->spool));
    assert_int_equal(a->reason, b->reason);
}

static void test_events(void **state)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);

    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        cleanup_buf struct buf b = BUF_INIT(10000);
        struct task_event ev;

        assert_int_equal(task_event_encode(&events[i].ev, &b), 0);
        assert_string_equal(buf_str(&b), events[i].line);
        assert_int_equal(task_event_decode(b.data, b.len - 1, &scratch, &ev, NULL), 0);
        assert_event_equal(&ev, &events[i].ev);
    }
}

static void test_largest_events(void **state)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf b = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_free char *data = xcalloc(1, LIMIT_EVENT_LINE_BYTES);
    struct task_event out = {.seq = INT64_MAX,
                             .type = TASK_EVENT_OUT,
                             .step = LIMIT_STEPS - 1,
                             .fd = 2,
                             .data = data,
                             .data_len = LIMIT_EVENT_CHUNK_BYTES};
    struct task_event end = {.seq = 1, .type = TASK_EVENT_EXIT, .error = data}, ev;

    assert_int_equal(task_event_encode(&out, &b), 0);
    assert_int_equal(task_event_decode(b.data, b.len - 1, &scratch, &ev, NULL), 0);
    assert_event_equal(&ev, &out);
    buf_clear(&b);
    memset(data, 1, LIMIT_EVENT_LINE_BYTES - 1);
    assert_int_equal(task_event_encode(&end, &b), 0);
    assert_int_equal(task_event_decode(b.data, b.len - 1, &scratch, &ev, NULL), 0);
    assert_int_equal(strlen(ev.error), 2048);
    b.max = 10;
    buf_clear(&b);
    assert_int_equal(task_event_encode(&end, &b), -ENOBUFS);
}

static void test_bad_events(void **state)
{
    static const char *const rows[] = {
        "",
        "7",
        "[]",
        "{}",
        "{\"type\":\"accepted\"}",
        "{\"seq\":0,\"type\":\"accepted\"}",
        "{\"seq\":-1,\"type\":\"accepted\"}",
        "{\"seq\":\"1\",\"type\":\"accepted\"}",
        "{\"seq\":1,\"type\":\"Accepted\"}",
        "{\"seq\":1,\"type\":\"step\",\"timeUnixMs\":1}",
        "{\"seq\":1,\"type\":\"step\",\"step\":256,\"timeUnixMs\":1}",
        "{\"seq\":1,\"type\":\"step\",\"step\":-1,\"timeUnixMs\":1}",
        "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":3,\"data\":\"\"}",
        "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":1}",
        "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":\"a\"}",
        "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":\"aGk\"}",
        "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":\"\xc3\xa1Gk=\"}",
        "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":7}",
        "{\"seq\":1,\"type\":\"gap\",\"step\":0,\"fd\":1,\"bytes\":-5}",
        "{\"seq\":1,\"type\":\"tail\",\"step\":0,\"fd\":1,\"bytes\":0,\"data\":\"\"}",
        "{\"seq\":0,\"type\":\"tail\",\"step\":0,\"fd\":1,\"bytes\":-1,\"data\":\"\"}",
        "{\"seq\":0,\"type\":\"tail\",\"step\":0,\"fd\":1,\"bytes\":0}",
        "{\"seq\":0,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":\"\"}",
        "{\"seq\":1,\"type\":\"exit\",\"step\":0,\"code\":256,\"durationNs\":0}",
        "{\"seq\":1,\"type\":\"exit\",\"step\":0,\"code\":1,\"durationNs\":0,\"error\":1}",
        "{\"seq\":1,\"type\":\"end\",\"code\":1,\"durationNs\":0}",
        "{\"seq\":1,\"type\":\"end\",\"code\":1,\"durationNs\":0,\"reason\":\"Bored\"}",
        "{\"seq\":1,\"type\":\"end\",\"code\":1,\"durationNs\":-1,\"reason\":\"Canceled\"}",
    };
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    struct task_event ev = {.seq = 99};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(task_event_decode(rows[i], strlen(rows[i]), &scratch, &ev, NULL), -EINVAL);
        assert_int_equal(ev.seq, 99);
    }
}

static void test_event_too_long(void **state)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf b = BUF_INIT(100000);
    struct task_event ev;

    buf_puts(&b, "{\"seq\":1,\"type\":\"out\",\"step\":0,\"fd\":1,\"data\":\"");
    for (int i = 0; i < 11000; i++)
        buf_puts(&b, "AAAA");
    buf_puts(&b, "\"}");
    assert_int_equal(task_event_decode(b.data, b.len, &scratch, &ev, NULL), -EINVAL);
    for (int i = 0; i < 50000; i++)
        buf_puts(&b, " ");
    assert_int_equal(task_event_decode(b.data, b.len, &scratch, &ev, NULL), -EINVAL);
}

static void test_event_mutations(void **state)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);

    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        size_t len = strlen(events[i].line) - 1;
        cleanup_free char *line = xmemdup0(events[i].line, len);

        for (size_t j = 0; j < len; j++) {
            struct task_event ev;

            assert_int_equal(task_event_decode(line, j, &scratch, &ev, NULL), -EINVAL);
            for (int bit = 0; bit < 8; bit++) {
                line[j] = (char)(line[j] ^ (1 << bit));
                task_event_decode(line, len, &scratch, &ev, NULL);
                line[j] = (char)(line[j] ^ (1 << bit));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_file_fields),
        cmocka_unit_test(test_nulls_of_steps),
        cmocka_unit_test(test_sandbox_env_is_below_the_steps),
        cmocka_unit_test(test_bad_sandbox_env_is_a_bad_request),
        cmocka_unit_test(test_bad_steps),
        cmocka_unit_test(test_too_many_steps),
        cmocka_unit_test(test_too_many_values),
        cmocka_unit_test(test_request_too_long),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_request_mutations),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_largest_events),
        cmocka_unit_test(test_bad_events),
        cmocka_unit_test(test_event_too_long),
        cmocka_unit_test(test_event_mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
