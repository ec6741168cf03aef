#include "common/wire/task_proto.h"

#include <errno.h>
#include <json-c/json.h>
#include <sodium.h>

#include "common/base/json.h"
#include "common/base/limits.h"

/* So that an exit event with its error fits into LIMIT_EVENT_LINE_BYTES, however it is escaped. */
#define ERROR_TEXT_MAX 2048
/* The largest output limit: a running task keeps it twice in memory. Far above what an object can
 * hold. */
#define OUTPUT_LIMIT_MAX (16u << 20)
/* No step runs longer than a year. This keeps sums of times far from an overflow. */
#define TIMEOUT_MS_MAX (366LL * 24 * 3600 * 1000)

#define BASE64 sodium_base64_VARIANT_ORIGINAL

/* ---- requests: encode ------------------------------------------------------------------------ */

int task_request_encode(const struct task_request_head *head, const char *steps_json,
                        struct buf *out, struct err *err)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    json_w_object(&w, NULL);
    json_w_str(&w, "sandboxUID", head->sandbox_uid);
    json_w_str(&w, "task", head->task_name);
    if (head->trace_id)
        json_w_str(&w, "traceID", head->trace_id);
    json_w_str(&w, "workDir", head->work_dir);
    json_w_int(&w, "timeoutMs", head->timeout_ms);
    json_w_int(&w, "outputLimit", (int64_t)head->output_limit);
    if (head->env_json)
        json_w_raw(&w, "env", head->env_json);
    json_w_raw(&w, "steps", steps_json ? steps_json : "null");
    json_w_end_object(&w);
    return w.error == 0
               ? 0
               : err_set(err, w.error, "the task's request is longer than %zu bytes", out->max);
}

/* ---- requests: decode ------------------------------------------------------------------------ */

static void env_done(struct step_env *env, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(env[i].name);
        free(env[i].value);
    }
    free(env);
}

static void step_done(struct task_step *s)
{
    free(s->name);
    free(s->invalid);
    free(s->container);
    free(s->work_dir);
    free(s->user);
    free(s->stdin_data);
    free(s->stdin_file);
    for (size_t i = 0; i < s->argc; i++)
        free(s->argv[i]);
    free(s->argv);
    env_done(s->env, s->env_count);
    free(s->path);
    free(s->content);
}

void task_request_done(struct task_request *r)
{
    if (!r)
        return;
    free(r->sandbox_uid);
    free(r->task_name);
    free(r->trace_id);
    free(r->work_dir);
    env_done(r->env, r->env_count);
    for (size_t i = 0; i < r->step_count; i++)
        step_done(&r->steps[i]);
    free(r->steps);
    *r = (struct task_request){0};
}

/* Keeps the first error, which a person has to repair first, and drops later ones. */
static void step_invalid(struct task_step *s, char *sentence)
{
    if (s->invalid)
        free(sentence);
    else
        s->invalid = sentence;
}

/* A copy of a JSON string, or NULL with the step made invalid. Strings go to the kernel as C
 * strings, which a NUL byte would cut in silence. */
static char *step_text(struct task_step *s, struct json_object *v, const char *what)
{
    const char *text;
    size_t len;

    if (!v || !json_object_is_type(v, json_type_string)) {
        step_invalid(s, xasprintf("%s is not a string", what));
        return NULL;
    }
    text = json_object_get_string(v);
    len = (size_t)json_object_get_string_len(v);
    if (strlen(text) != len) {
        step_invalid(s, xasprintf("%s holds a NUL byte", what));
        return NULL;
    }
    return xmemdup0(text, len);
}

/* A member that may be absent, null or "": all three read as NULL. */
static char *step_optional_text(struct task_step *s, struct json_object *obj, const char *name)
{
    struct json_object *v = json_get(obj, name);
    char *text = v ? step_text(s, v, name) : NULL;

    if (text && !*text)
        str_set(&text, NULL);
    return text;
}

static void decode_command(struct task_step *s, struct json_object *v)
{
    size_t n;

    if (!v || !json_object_is_type(v, json_type_array)) {
        step_invalid(s, xstrdup(v ? "command is not a list of strings" : "command is missing"));
        return;
    }
    n = json_object_array_length(v);
    s->argv = xcalloc(n + 1, sizeof(*s->argv));
    for (size_t i = 0; i < n; i++) {
        cleanup_free char *what = xasprintf("command[%zu]", i);
        char *text = step_text(s, json_object_array_get_idx(v, i), what);

        if (!text)
            return;
        s->argv[s->argc++] = text;
    }
    if (n == 0 || !s->argv[0][0])
        step_invalid(s, xstrdup("command is empty"));
}

static void decode_env(struct task_step *s, struct json_object *v)
{
    if (!v)
        return;
    if (!json_object_is_type(v, json_type_object)) {
        step_invalid(s, xstrdup("env is not an object of strings"));
        return;
    }
    s->env = xcalloc((size_t)json_object_object_length(v), sizeof(*s->env));
    json_object_object_foreach(v, key, value)
    {
        cleanup_free char *what = xasprintf("env[\"%.64s\"]", key);
        char *text = step_text(s, value, what);

        if (!text)
            return;
        if (!*key || strchr(key, '='))
            step_invalid(s, xasprintf("env: \"%.64s\" is not a name", key));
        s->env[s->env_count++] = (struct step_env){.name = xstrdup(key), .value = text};
    }
}

/* -EINVAL: it is none. ignore: characters that may stand in between, or NULL. */
static int base64_decode(const char *text, size_t len, const char *ignore, char **ret,
                         size_t *ret_len)
{
    size_t room = len / 4 * 3 + 3;
    cleanup_free char *bin = NULL;

    /* libsodium 1.0.18 takes some bytes above 0x7f for the characters 0x80 below them. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7f)
            return -EINVAL;
    bin = xmalloc(room);
    if (sodium_base642bin((unsigned char *)bin, room, text, len, ignore, ret_len, NULL, BASE64) !=
        0)
        return -EINVAL;
    *ret = bin;
    bin = NULL;
    return 0;
}

static void decode_content(struct task_step *s, struct json_object *obj)
{
    struct json_object *content = json_get(obj, "content"), *patch = json_get(obj, "patch");
    struct json_object *v = patch ? patch : content;

    s->is_patch = patch != NULL;
    if (content && patch)
        step_invalid(s, xstrdup("content and patch do not go together"));
    if (v && !json_object_is_type(v, json_type_string)) {
        step_invalid(s, xasprintf("%s is not a string", patch ? "patch" : "content"));
        return;
    }
    s->content_len = v ? (size_t)json_object_get_string_len(v) : 0;
    s->content = xmemdup0(v ? json_object_get_string(v) : "", s->content_len);
}

static void decode_encoding(struct task_step *s, struct json_object *obj)
{
    cleanup_free char *encoding = step_optional_text(s, obj, "encoding");
    char *bin;

    if (s->invalid || !encoding || strcmp(encoding, "text") == 0)
        return;
    if (strcmp(encoding, "base64") != 0) {
        step_invalid(s,
                     xasprintf("unknown encoding \"%.64s\", known are text and base64", encoding));
    } else if (base64_decode(s->content, s->content_len, "\r\n", &bin, &s->content_len) < 0) {
        step_invalid(s, xasprintf("%s is not base64", s->is_patch ? "patch" : "content"));
    } else {
        str_set(&s->content, bin);
    }
}

static void decode_fuzz(struct task_step *s, struct json_object *obj)
{
    int64_t fuzz = 0;

    if (json_get(obj, "fuzz") &&
        (!json_get_int(obj, "fuzz", &fuzz) || fuzz < 0 || fuzz > LIMIT_FUZZ))
        step_invalid(s, xasprintf("fuzz is not a number from 0 to %d", LIMIT_FUZZ));
    else
        s->fuzz = (unsigned)fuzz;
}

/* Three or four octal digits, as chmod(1) takes them. */
static void decode_mode(struct task_step *s, struct json_object *obj)
{
    cleanup_free char *mode = step_optional_text(s, obj, "mode");
    size_t n = mode ? strspn(mode, "01234567") : 0;

    if (!mode)
        return;
    if (n < 3 || n > 4 || mode[n] != '\0')
        step_invalid(s, xasprintf("mode \"%.16s\" is not octal digits such as 0644", mode));
    else
        s->mode = (int)strtol(mode, NULL, 8);
}

static void decode_stdin(struct task_step *s, struct json_object *obj)
{
    struct json_object *v = json_get(obj, "stdin");
    cleanup_free char *encoding = step_optional_text(s, obj, "stdinEncoding");
    char *bin;

    s->stdin_file = step_optional_text(s, obj, "stdinFile");
    if (v && s->stdin_file)
        step_invalid(s, xstrdup("stdin and stdinFile do not go together"));
    if (!v)
        return;
    if (!json_object_is_type(v, json_type_string)) {
        step_invalid(s, xstrdup("stdin is not a string"));
        return;
    }
    s->stdin_len = (size_t)json_object_get_string_len(v);
    s->stdin_data = xmemdup0(json_object_get_string(v), s->stdin_len);
    if (!encoding || strcmp(encoding, "text") == 0)
        return;
    if (strcmp(encoding, "base64") != 0)
        step_invalid(
            s, xasprintf("unknown stdinEncoding \"%.64s\", known are text and base64", encoding));
    else if (base64_decode(s->stdin_data, s->stdin_len, "\r\n", &bin, &s->stdin_len) < 0)
        step_invalid(s, xstrdup("stdin is not base64"));
    else
        str_set(&s->stdin_data, bin);
}

static void decode_on_error(struct task_step *s, struct json_object *obj)
{
    cleanup_free char *text = step_optional_text(s, obj, "onError");

    s->goes_on = text && strcmp(text, "Continue") == 0;
    if (text && !s->goes_on && strcmp(text, "Stop") != 0)
        step_invalid(s, xasprintf("unknown onError \"%.64s\", known are Stop and Continue", text));
}

static void decode_type(struct task_step *s, struct json_object *obj)
{
    cleanup_free char *type = step_optional_text(s, obj, "type");

    if (type && strcmp(type, "Command") == 0) {
        s->type = STEP_COMMAND;
        decode_command(s, json_get(obj, "command"));
        decode_env(s, json_get(obj, "env"));
        decode_stdin(s, obj);
    } else if (type && strcmp(type, "FilePatch") == 0) {
        s->type = STEP_FILE_PATCH;
        s->path = step_optional_text(s, obj, "path");
        decode_content(s, obj);
        decode_encoding(s, obj);
        decode_mode(s, obj);
        decode_fuzz(s, obj);
    } else if (type) {
        step_invalid(s, xasprintf("unknown type \"%.64s\", known are Command and FilePatch", type));
    } else {
        step_invalid(s, xstrdup("type is missing"));
    }
}

static void decode_step(struct task_step *s, struct json_object *obj)
{
    s->mode = -1;
    s->name = step_optional_text(s, obj, "name");
    if (!s->name)
        s->name = xstrdup("");
    if (!obj || !json_object_is_type(obj, json_type_object)) {
        step_invalid(s, xstrdup("it is not an object"));
        return;
    }
    s->container = step_optional_text(s, obj, "container");
    s->work_dir = step_optional_text(s, obj, "workDir");
    s->user = step_optional_text(s, obj, "user");
    decode_on_error(s, obj);
    decode_type(s, obj);
}

static void decode_steps(struct task_request *r, struct json_object *v)
{
    bool list = v && json_object_is_type(v, json_type_array);
    size_t n = list ? json_object_array_length(v) : 0;

    if (n > 0 && n <= LIMIT_STEPS) {
        r->steps = xcalloc(n, sizeof(*r->steps));
        r->step_count = n;
        for (size_t i = 0; i < n; i++)
            decode_step(&r->steps[i], json_object_array_get_idx(v, i));
        return;
    }
    r->steps = xcalloc(1, sizeof(*r->steps));
    r->step_count = 1;
    r->steps[0].name = xstrdup("");
    r->steps[0].invalid = n > 0
                              ? xasprintf("the task has %zu steps, %d are the most", n, LIMIT_STEPS)
                              : xstrdup(list || !v ? "the task has no steps"
                                                   : "the steps of the task are not a list");
}

/* The sandbox's environment: a list of {name, value}, as in a container. */
static int decode_sandbox_env(struct json_object *v, struct task_request *r, struct err *err)
{
    size_t n = v && json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;

    if (v && !json_object_is_type(v, json_type_array))
        return err_set(err, -EINVAL, "env is not a list");
    if (n > LIMIT_SANDBOX_ENV)
        return err_set(err, -EINVAL, "env has %zu entries, %d are the most", n, LIMIT_SANDBOX_ENV);
    r->env = xcalloc(n + 1, sizeof(*r->env));
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(v, i);
        const char *name = json_get_str(o, "name"), *value = json_get_str(o, "value");

        if (!name || !*name || strchr(name, '='))
            return err_set(err, -EINVAL, "env[%zu].name is no name", i);
        r->env[r->env_count++] =
            (struct step_env){.name = xstrdup(name), .value = xstrdup(str_or_empty(value))};
    }
    return 0;
}

static bool env_has(const struct step_env *env, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(env[i].name, name) == 0)
            return true;
    return false;
}

/* A variable of the step goes before one of the sandbox. Of two in the sandbox the last one counts.
 */
static void inherit_env(const struct task_request *r, struct task_step *s)
{
    if (s->type != STEP_COMMAND || s->invalid || r->env_count == 0)
        return;
    s->env = xrealloc(s->env, (s->env_count + r->env_count) * sizeof(*s->env));
    for (size_t i = r->env_count; i-- > 0;) {
        if (env_has(s->env, s->env_count, r->env[i].name))
            continue;
        s->env[s->env_count++] =
            (struct step_env){.name = xstrdup(r->env[i].name), .value = xstrdup(r->env[i].value)};
    }
}

struct request_numbers {
    int64_t timeout_ms;
    int64_t output_limit;
};

static int decode_head(struct json_object *obj, struct task_request *r, struct err *err)
{
    static const struct json_field texts[] = {
        {"sandboxUID", JSON_STRING, offsetof(struct task_request, sandbox_uid)},
        {"task", JSON_STRING, offsetof(struct task_request, task_name)},
        {"traceID", JSON_STRING, offsetof(struct task_request, trace_id)},
        {"workDir", JSON_STRING, offsetof(struct task_request, work_dir)},
        {NULL},
    };
    static const struct json_field numbers[] = {
        {"timeoutMs", JSON_INT, offsetof(struct request_numbers, timeout_ms)},
        {"outputLimit", JSON_INT, offsetof(struct request_numbers, output_limit)},
        {NULL},
    };
    struct request_numbers n = {0};

    if (!json_object_is_type(obj, json_type_object))
        return err_set(err, -EINVAL, "the request is not a JSON object");
    if (json_decode(obj, texts, r, err) < 0 || json_decode(obj, numbers, &n, err) < 0)
        return -EINVAL;
    if (!r->sandbox_uid || !*r->sandbox_uid)
        return err_set(err, -EINVAL, "sandboxUID is missing");
    if (!r->work_dir || r->work_dir[0] != '/')
        return err_set(err, -EINVAL, "workDir is not an absolute path");
    if (n.timeout_ms <= 0)
        return err_set(err, -EINVAL, "timeoutMs is not a positive number");
    if (n.output_limit <= 0)
        return err_set(err, -EINVAL, "outputLimit is not a positive number");
    if (!r->task_name)
        r->task_name = xstrdup("");
    r->timeout_ms = MIN(n.timeout_ms, TIMEOUT_MS_MAX);
    r->output_limit = (size_t)MIN(n.output_limit, (int64_t)OUTPUT_LIMIT_MAX);
    return 0;
}

/* Counted before a tree is made of them; commas outside of strings stand for values. */
static bool too_many_values(const char *data, size_t len)
{
    bool in_string = false;
    size_t commas = 0;

    for (size_t i = 0; i < len; i++) {
        if (in_string && data[i] == '\\')
            i++;
        else if (data[i] == '"')
            in_string = !in_string;
        else if (data[i] == ',' && !in_string)
            commas++;
    }
    return commas >= LIMIT_TASK_REQUEST_VALUES;
}

int task_request_decode(const char *data, size_t len, struct task_request *ret, struct err *err)
{
    CLEANUP(task_request_done) struct task_request r = {0};
    cleanup_json struct json_object *obj = NULL;

    if (too_many_values(data, len))
        return err_set(err, -EINVAL, "the request has more than %d values",
                       LIMIT_TASK_REQUEST_VALUES);
    if (json_parse(data, len, &obj, err) < 0 || decode_head(obj, &r, err) < 0)
        return -EINVAL;
    if (decode_sandbox_env(json_get(obj, "env"), &r, err) < 0)
        return -EINVAL;
    decode_steps(&r, json_get(obj, "steps"));
    for (size_t i = 0; i < r.step_count; i++)
        inherit_env(&r, &r.steps[i]);
    *ret = r;
    r = (struct task_request){0};
    return 0;
}

/* ---- events ---------------------------------------------------------------------------------- */

static const char *const event_types[] = {
    [TASK_EVENT_ACCEPTED] = "accepted", [TASK_EVENT_STEP] = "step", [TASK_EVENT_OUT] = "out",
    [TASK_EVENT_GAP] = "gap",           [TASK_EVENT_EXIT] = "exit", [TASK_EVENT_END] = "end",
    [TASK_EVENT_TAIL] = "tail",
};

static const char *const end_reasons[] = {
    [TASK_END_COMPLETED] = "Completed",
    [TASK_END_STEP_FAILED] = "StepFailed",
    [TASK_END_CANCELED] = "Canceled",
    [TASK_END_AGENT_LOST] = "AgentLost",
};

const char *task_end_reason_str(enum task_end_reason r)
{
    return end_reasons[r];
}

static void encode_data(struct json_writer *w, const struct task_event *ev)
{
    size_t size = sodium_base64_encoded_len(ev->data_len, BASE64);
    cleanup_free char *text = xmalloc(size + 2);

    assert(ev->data_len <= LIMIT_EVENT_CHUNK_BYTES);
    /* Base64 needs no escaping, so the text goes in as it is. */
    text[0] = '"';
    sodium_bin2base64(text + 1, size, (const unsigned char *)str_or_empty(ev->data), ev->data_len,
                      BASE64);
    memcpy(text + size, "\"", 2);
    json_w_raw(w, "data", text);
}

static void encode_end(struct json_writer *w, const struct task_event *ev)
{
    json_w_int(w, "code", ev->code);
    json_w_int(w, "durationNs", ev->duration_ns);
    if (ev->type == TASK_EVENT_END)
        json_w_str(w, "reason", end_reasons[ev->reason]);
    if (ev->error)
        json_w_strn(w, "error", ev->error, strnlen(ev->error, ERROR_TEXT_MAX));
    if (ev->spool)
        json_w_strn(w, "spool", ev->spool, strnlen(ev->spool, ERROR_TEXT_MAX));
}

int task_event_encode(const struct task_event *ev, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    json_w_object(&w, NULL);
    json_w_int(&w, "seq", (int64_t)ev->seq);
    json_w_str(&w, "type", event_types[ev->type]);
    if (ev->type != TASK_EVENT_ACCEPTED && ev->type != TASK_EVENT_END)
        json_w_int(&w, "step", ev->step);
    if (ev->type == TASK_EVENT_OUT || ev->type == TASK_EVENT_GAP || ev->type == TASK_EVENT_TAIL)
        json_w_int(&w, "fd", ev->fd);
    if (ev->type == TASK_EVENT_GAP || ev->type == TASK_EVENT_TAIL)
        json_w_int(&w, "bytes", (int64_t)ev->gap_bytes);
    if (ev->type == TASK_EVENT_STEP)
        json_w_int(&w, "timeUnixMs", ev->time_unix_ms);
    else if (ev->type == TASK_EVENT_OUT || ev->type == TASK_EVENT_TAIL)
        encode_data(&w, ev);
    else if (ev->type == TASK_EVENT_EXIT || ev->type == TASK_EVENT_END)
        encode_end(&w, ev);
    json_w_end_object(&w);
    return w.error == 0 ? buf_putc(out, '\n') : w.error;
}

static int name_index(const char *const *names, size_t count, const char *s)
{
    for (size_t i = 0; s && i < count; i++) {
        if (strcmp(names[i], s) == 0)
            return (int)i;
    }
    return -EINVAL;
}

/* A number that must be there, from min to max. */
static int take_int(struct json_object *obj, const char *name, int64_t min, int64_t max,
                    int64_t *ret, struct err *err)
{
    int64_t v;

    if (!json_get_int(obj, name, &v) || v < min || v > max)
        return err_set(err, -EINVAL, "the event's %s is missing or out of range", name);
    *ret = v;
    return 0;
}

static int take_data(struct json_object *obj, struct buf *scratch, struct task_event *ev,
                     struct err *err)
{
    struct json_object *v = json_get(obj, "data");
    cleanup_free char *bin = NULL;
    size_t got = 0;

    if (!v || !json_object_is_type(v, json_type_string))
        return err_set(err, -EINVAL, "the event's data is missing");
    if (base64_decode(json_object_get_string(v), (size_t)json_object_get_string_len(v), NULL, &bin,
                      &got) < 0 ||
        got > LIMIT_EVENT_CHUNK_BYTES)
        return err_set(err, -EINVAL, "the event's data is not base64 or too long");
    if (buf_append(scratch, bin, got) < 0)
        return err_set(err, -EINVAL, "the event's data is too long");
    ev->data = buf_str(scratch);
    ev->data_len = got;
    return 0;
}

/* Appends a text with a NUL behind it, if it is there; *ret_at is its place then, else 0. */
static int take_text(struct json_object *obj, const char *name, struct buf *scratch, size_t *ret_at,
                     struct err *err)
{
    struct json_object *v = json_get(obj, name);

    *ret_at = 0;
    if (!v)
        return 0;
    if (!json_object_is_type(v, json_type_string))
        return err_set(err, -EINVAL, "the event's %s is not a string", name);
    if (buf_putc(scratch, '\0') < 0)
        return err_set(err, -EINVAL, "the event's %s is too long", name);
    *ret_at = scratch->len;
    if (buf_append(scratch, json_object_get_string(v), (size_t)json_object_get_string_len(v)) < 0)
        return err_set(err, -EINVAL, "the event's %s is too long", name);
    return 0;
}

static int take_texts(struct json_object *obj, struct buf *scratch, struct task_event *ev,
                      struct err *err)
{
    size_t error, spool;

    if (take_text(obj, "error", scratch, &error, err) < 0 ||
        take_text(obj, "spool", scratch, &spool, err) < 0)
        return -EINVAL;
    /* Only now, since the memory may have moved. */
    ev->error = error ? buf_str(scratch) + error : NULL;
    ev->spool = spool ? buf_str(scratch) + spool : NULL;
    return 0;
}

/* What out, gap and tail have in common. */
static int take_stream(struct json_object *obj, struct buf *scratch, struct task_event *ev,
                       struct err *err)
{
    int64_t fd = 0, bytes = 0;

    if (take_int(obj, "fd", 1, 2, &fd, err) < 0)
        return -EINVAL;
    ev->fd = (int)fd;
    if (ev->type != TASK_EVENT_OUT && take_int(obj, "bytes", 0, INT64_MAX, &bytes, err) < 0)
        return -EINVAL;
    ev->gap_bytes = (uint64_t)bytes;
    return ev->type == TASK_EVENT_GAP ? 0 : take_data(obj, scratch, ev, err);
}

/* What exit and end have in common. */
static int take_result(struct json_object *obj, struct task_event *ev, struct err *err)
{
    int64_t code = 0;

    if (take_int(obj, "code", 0, 255, &code, err) < 0)
        return -EINVAL;
    ev->code = (int)code;
    return take_int(obj, "durationNs", 0, INT64_MAX, &ev->duration_ns, err);
}

static int take_fields(struct json_object *obj, struct buf *scratch, struct task_event *ev,
                       struct err *err)
{
    int r;

    switch (ev->type) {
    case TASK_EVENT_ACCEPTED:
        return 0;
    case TASK_EVENT_STEP:
        return take_int(obj, "timeUnixMs", 0, INT64_MAX, &ev->time_unix_ms, err);
    case TASK_EVENT_OUT:
    case TASK_EVENT_GAP:
    case TASK_EVENT_TAIL:
        return take_stream(obj, scratch, ev, err);
    case TASK_EVENT_EXIT:
        r = take_result(obj, ev, err);
        return r < 0 ? r : take_texts(obj, scratch, ev, err);
    case TASK_EVENT_END:
        r = name_index(end_reasons, ARRAY_SIZE(end_reasons), json_get_str(obj, "reason"));
        if (r < 0)
            return err_set(err, -EINVAL, "the event's reason is unknown");
        ev->reason = (enum task_end_reason)r;
        return take_result(obj, ev, err);
    }
    return -EINVAL;
}

int task_event_decode(const char *line, size_t len, struct buf *scratch, struct task_event *ret,
                      struct err *err)
{
    cleanup_json struct json_object *obj = NULL;
    struct task_event ev = {0};
    int64_t seq = 0, step = 0;
    int type;

    buf_clear(scratch);
    if (len > LIMIT_EVENT_LINE_BYTES)
        return err_set(err, -EINVAL, "the event's line is longer than %u bytes",
                       LIMIT_EVENT_LINE_BYTES);
    if (json_parse(line, len, &obj, err) < 0)
        return -EINVAL;
    type = name_index(event_types, ARRAY_SIZE(event_types), json_get_str(obj, "type"));
    if (type < 0)
        return err_set(err, -EINVAL, "the event's type is unknown");
    ev.type = (enum task_event_type)type;
    if (take_int(obj, "seq", ev.type == TASK_EVENT_TAIL ? 0 : 1,
                 ev.type == TASK_EVENT_TAIL ? 0 : INT64_MAX, &seq, err) < 0)
        return -EINVAL;
    if (ev.type != TASK_EVENT_ACCEPTED && ev.type != TASK_EVENT_END &&
        take_int(obj, "step", 0, LIMIT_STEPS - 1, &step, err) < 0)
        return -EINVAL;
    ev.seq = (uint64_t)seq;
    ev.step = (uint32_t)step;
    if (take_fields(obj, scratch, &ev, err) < 0)
        return -EINVAL;
    *ret = ev;
    return 0;
}
