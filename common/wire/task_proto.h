/*
 * The contract between operator and sidecar: what a task request and the events of its stream look
 * like on the wire (JSON and NDJSON). Both sides use this one codec.
 *
 *   PUT /v1/tasks/{taskUID}/{attempt}?after=SEQ     starts or attaches; body: struct task_request
 *   GET of the same                                 attaches only; no body
 *   <- 200, NDJSON: struct task_event, one a line, until the `end` event; an empty line is a
 *      heartbeat
 *
 * Body and answer travel sealed (channel.h). The sidecar's other requests have no codec of their
 * own: sidecar/app/server.c. docs/protocol.md has them all.
 *
 * The operator keeps the steps of a Task as the JSON text that the API server sent, and puts it
 * into the request as it is; only the sidecar takes the steps apart. Anything in there that is
 * wrong is reported by the sidecar as a failed step, so one bad task fails alone.
 *
 * Limits: LIMIT_TASK_REQUEST_BYTES, LIMIT_TASK_REQUEST_VALUES, LIMIT_STEPS, LIMIT_EVENT_LINE_BYTES.
 */
#ifndef ARL_COMMON_WIRE_TASK_PROTO_H
#define ARL_COMMON_WIRE_TASK_PROTO_H

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/err.h"

/* What is said on the wire, as pods carry it (POD_ANNOTATION_WIRE). Version 1 had neither that
 * annotation nor one for the port, and its agents listened on AGENT_PORT_OLD. */
#define WIRE_VERSION 2
#define WIRE_VERSION_OLD 1
/* In nobody's way: no well-known service has it, and no kernel hands it out by itself (32768 and
 * above). Code in the pod shares its ports with the agent. */
#define AGENT_PORT 27182
#define AGENT_LISTEN "[::]:27182"
#define AGENT_PORT_OLD 8080

enum step_type {
    STEP_COMMAND,
    STEP_FILE_PATCH,
};

/* One name=value pair; both owned by the step. */
struct step_env {
    char *name;
    char *value;
};

struct task_step {
    char *name; /* never NULL, may be "" */
    /* NULL, or a sentence that says what is wrong with the step: it fails with that when its turn
     * comes, and nothing below but its name is to be relied on. */
    char *invalid;
    enum step_type type;
    char *container; /* NULL: the default one */
    char *work_dir;  /* NULL: the task's */
    char *user;      /* NULL: the container's */
    bool goes_on;    /* if it fails, the steps behind it run all the same */
    /* STEP_COMMAND */
    char **argv; /* NULL-terminated; not empty */
    size_t argc;
    struct step_env *env;
    size_t env_count;
    char *stdin_data; /* what it reads; NULL: nothing. May hold NUL bytes */
    size_t stdin_len;
    char *stdin_file; /* a path in the sandbox, instead; NULL: none */
    /* STEP_FILE_PATCH */
    char *path;         /* NULL: missing or empty (a failed step, but for a patch) */
    char *content;      /* decoded; the diff when is_patch */
    size_t content_len; /* content may hold NUL bytes */
    bool is_patch;      /* content is a unified diff; without path it names its files itself */
    unsigned fuzz;      /* lines of context at each end of a hunk that may differ */
    int mode;           /* permission bits; -1: not given */
};

struct task_request {
    char *sandbox_uid;
    char *task_name;      /* namespace/name, for logs */
    char *trace_id;       /* NULL: none */
    char *work_dir;       /* the sandbox's work directory, absolute */
    int64_t timeout_ms;   /* limit of each Command step, > 0 */
    size_t output_limit;  /* bytes kept of a stream of a step, > 0 */
    struct step_env *env; /* of the sandbox; decoding adds it to each Command step's own */
    size_t env_count;
    struct task_step *steps;
    size_t step_count; /* 1..LIMIT_STEPS */
};

/* Encodes a request whose steps are given as JSON text (an array as in Task.spec.steps). */
struct task_request_head {
    const char *sandbox_uid;
    const char *task_name;
    const char *trace_id; /* NULL: none */
    const char *work_dir;
    int64_t timeout_ms;
    size_t output_limit;
    const char *env_json; /* the array Sandbox.spec.env; NULL: none */
};
int task_request_encode(const struct task_request_head *head, const char *steps_json,
                        struct buf *out, struct err *err);
/* Decodes; *ret is filled only on success and freed with task_request_done(). Whatever is wrong
 * inside of "steps", or with their number, becomes an invalid step. -EINVAL for all else. */
int task_request_decode(const char *data, size_t len, struct task_request *ret, struct err *err);
void task_request_done(struct task_request *r);

enum task_event_type {
    TASK_EVENT_ACCEPTED,
    TASK_EVENT_STEP, /* step begins */
    TASK_EVENT_OUT,  /* bytes of a stream */
    TASK_EVENT_GAP,  /* so many bytes of a stream were dropped here */
    TASK_EVENT_EXIT, /* step ended */
    TASK_EVENT_END,  /* task attempt ended; the last event */
    /* What a stream has printed last, to be shown while the step runs. It is no part of what
     * follows: it has the number 0, is not kept, and comes again with all else at the end. */
    TASK_EVENT_TAIL,
};

/* Why an attempt ended, beyond its exit code. */
enum task_end_reason {
    TASK_END_COMPLETED, /* every step ran to its end and exited 0 */
    TASK_END_STEP_FAILED,
    TASK_END_CANCELED,   /* DELETE while it ran */
    TASK_END_AGENT_LOST, /* runner or sidecar restarted while a step ran */
};
const char *task_end_reason_str(enum task_end_reason r);

struct task_event {
    uint64_t seq; /* from 1, without holes; TAIL: 0 */
    enum task_event_type type;
    uint32_t step;               /* STEP, OUT, GAP, EXIT, TAIL: index into steps */
    int fd;                      /* OUT, GAP, TAIL: 1 or 2 */
    const char *data;            /* OUT, TAIL: raw bytes */
    size_t data_len;             /* OUT: at most LIMIT_EVENT_CHUNK_BYTES */
    uint64_t gap_bytes;          /* GAP; TAIL: printed before it, and not told of */
    int code;                    /* EXIT, END: 0..255 */
    int64_t duration_ns;         /* EXIT, END: monotonic */
    int64_t time_unix_ms;        /* STEP: wall clock of its start */
    const char *error;           /* EXIT: a sentence, or NULL */
    const char *spool;           /* EXIT: files with the whole output, a space between; or NULL */
    enum task_end_reason reason; /* END */
};

/* Appends one line with its newline. -ENOBUFS: *out has no room, and may hold a part of it. An
 * error text that is too long for a line is cut. */
int task_event_encode(const struct task_event *ev, struct buf *out);
/*
 * Decodes one line (without newline). The pointers in *ret point into *scratch, a buffer with room
 * for LIMIT_EVENT_LINE_BYTES which is overwritten; the caller keeps it as long as it uses the event
 * and releases it with buf_done(). The text is hostile input: -EINVAL.
 */
int task_event_decode(const char *line, size_t len, struct buf *scratch, struct task_event *ret,
                      struct err *err);

#endif
