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
 * The operator keeps the steps of a Task as the JSON text that the API server sent, and puts this
 * text unchanged into the request. Only the sidecar decodes the steps. It reports an error in them
 * as a failed step, so a bad task fails alone.
 *
 * Limits: LIMIT_TASK_REQUEST_BYTES, LIMIT_TASK_REQUEST_VALUES, LIMIT_STEPS, LIMIT_EVENT_LINE_BYTES.
 */
#ifndef ARL_COMMON_WIRE_TASK_PROTO_H
#define ARL_COMMON_WIRE_TASK_PROTO_H

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/err.h"

/* The version of this protocol, which each pod has in the annotation POD_ANNOTATION_WIRE. Pods of
 * version 1 have neither this annotation nor that of the port; their agents listen on
 * AGENT_PORT_OLD. */
#define WIRE_VERSION 2
#define WIRE_VERSION_OLD 1
/* No well-known service uses this port, and kernels do not choose it for clients (those are 32768
 * and above). Code in the pod shares its ports with the agent, so it cannot use this one. */
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
    /* Not NULL: the step is invalid, and this sentence says why. It fails with the sentence when
     * its turn comes. Only its name is valid then. */
    char *invalid;
    enum step_type type;
    char *container; /* NULL: the default one */
    char *work_dir;  /* NULL: the task's */
    char *user;      /* NULL: the container's */
    bool goes_on;    /* if it fails, later steps still run */
    /* STEP_COMMAND */
    char **argv; /* NULL-terminated; not empty */
    size_t argc;
    struct step_env *env;
    size_t env_count;
    char *stdin_data; /* its standard input; NULL: empty. May have NUL bytes */
    size_t stdin_len;
    char *stdin_file; /* or a file in the sandbox as standard input; NULL: none */
    /* STEP_FILE_PATCH */
    char *path;         /* NULL: missing or empty; without a patch the step fails then */
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
    int64_t timeout_ms;   /* limit of each step, > 0 */
    size_t output_limit;  /* bytes kept of a stream of a step, > 0 */
    struct step_env *env; /* of the sandbox; decoding adds it to that of each Command step */
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
/* Decodes a request. *ret is set only on success; free it with task_request_done(). An error inside
 * of "steps", or a wrong number of steps, becomes an invalid step. -EINVAL for all other errors. */
int task_request_decode(const char *data, size_t len, struct task_request *ret, struct err *err);
void task_request_done(struct task_request *r);

enum task_event_type {
    TASK_EVENT_ACCEPTED,
    TASK_EVENT_STEP, /* step begins */
    TASK_EVENT_OUT,  /* bytes of a stream */
    TASK_EVENT_GAP,  /* gap_bytes bytes of a stream were dropped here */
    TASK_EVENT_EXIT, /* step ended */
    TASK_EVENT_END,  /* task attempt ended; the last event */
    /* The last output of a stream, to be shown while the step runs. It is not part of the result:
     * it has the number 0, is not kept, and its bytes come again at the end of the step. */
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
    uint64_t gap_bytes;          /* GAP: bytes dropped; TAIL: bytes before it that no event has */
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
