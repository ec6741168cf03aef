/*
 * The limits that concern more than one file, with what happens when one is reached. All others
 * stand at the top of the header that they belong to. A number that comes from outside names its
 * source.
 */
#ifndef ARL_COMMON_BASE_LIMITS_H
#define ARL_COMMON_BASE_LIMITS_H

/* ---- Kubernetes ------------------------------------------------------------------------------ */
/* etcd refuses larger objects (--max-request-bytes, default 1.5 MiB); JSON of the same object can
 * be larger than what is stored, so one watch line may take twice that. Longer: only the object's
 * metadata is read. */
#define LIMIT_OBJECT_BYTES (4u << 20)
/* The longest answer to one API call (a list page): one object of 1.5 MiB, each byte of it escaped
 * as six, still fits. Longer: the call fails with EMSGSIZE, and a page gets shorter. */
#define LIMIT_RESPONSE_BYTES (10u << 20)
/* What the tree of one JSON text may take, by an estimate from its text: a tree takes up to 300
 * times the memory of its text. More: it is not built (-EMSGSIZE). */
#define LIMIT_JSON_TREE_BYTES (16u << 20)
/* Objects per list page. Pages keep the text of a list small; items are decoded one by one. */
#define LIMIT_LIST_PAGE 50
/* A Task object with its status stays below this, as clients were promised (contract); the output
 * is cut further until it fits. */
#define LIMIT_TASK_OBJECT_BYTES (1u << 20)
/* What etcd takes as one request (--max-request-bytes, default 1572864) less what a write has
 * beside the object: its key, and the revision to compare with. */
#define LIMIT_ETCD_OBJECT_BYTES (1572864u - 2048u)
/* The status of a large Task may take this much, though the object is beyond the promise then. */
#define LIMIT_STATUS_ROOM_BYTES (64u << 10)
/* A label value and a pod name's DNS label (RFC 1123). */
#define LIMIT_NAME_BYTES 253
#define LIMIT_LABEL_BYTES 63
#define LIMIT_POOL_NAME_BYTES                                                                      \
    54 /* a pod's is a dash and eight characters longer; the CRD as well */
/* spec.template of a WarmPool, as text: it is kept in memory, and a tenant makes as many pools as
 * he likes. More: the pool is InvalidTemplate. */
#define LIMIT_TEMPLATE_BYTES (64u << 10)
/* A UID is a UUID of 36 characters; a resourceVersion is a number. What is longer, or no word,
 * makes an object that is left out. */
#define LIMIT_UID_BYTES 64
#define LIMIT_RESOURCE_VERSION_BYTES 64
/* A condition's reason and message, and what a pod, its containers or the API server say of
 * themselves. Longer: cut. */
#define LIMIT_REASON_BYTES 128
#define LIMIT_MESSAGE_BYTES 4096
#define LIMIT_FOREIGN_MESSAGE_BYTES 1024
#define LIMIT_STEP_NAME_BYTES 1024 /* spec.steps[].name: 253 characters; the CRD says the same */
#define LIMIT_TRACE_BYTES 1024     /* spec.traceID: 256 characters; the CRD says the same */
/* A path in a pod. Longer, or not absolute: as if it were not given. */
#define LIMIT_PATH_BYTES 4096

/* ---- tasks ----------------------------------------------------------------------------------- */
#define LIMIT_OUTPUT_BYTES_DEFAULT (256u << 10) /* a stream of a step; head and tail are kept */
#define LIMIT_STEPS 256                         /* steps of a task; the CRD says the same */
#define LIMIT_FUZZ 2                            /* steps[].fuzz; the CRD says the same */
#define LIMIT_SANDBOX_ENV 256                   /* Sandbox.spec.env; the CRD says the same */
#define LIMIT_RETRIES 10                        /* spec.retries; the CRD says the same */
#define LIMIT_TASK_TIMEOUT_MS_DEFAULT 300000    /* a Command step, as long as the client waits */
/* One line of a task event stream: the largest chunk below as base64 and its JSON around. Longer:
 * the stream is treated as broken and attached to again. */
#define LIMIT_EVENT_CHUNK_BYTES (32u << 10)
#define LIMIT_EVENT_LINE_BYTES (64u << 10)
/* What a stream has printed last, of which an agent tells while a task runs. More: the end of it.
 */
#define LIMIT_TAIL_BYTES 4096u
/* The heads of an answer: its own, those of interim ones before it, and what stands behind its last
 * chunk. More: the call fails with EMSGSIZE. */
#define LIMIT_ANSWER_HEADERS_BYTES (64u << 10)
/* An agent's answer to anything but a stream. Longer: as if there were none. */
#define LIMIT_AGENT_ANSWER_BYTES (64u << 10)
#define LIMIT_AGENT_ANSWER_TREE_BYTES (1u << 20)
/* The body of a task request: an object of LIMIT_OBJECT_BYTES, escaped. Larger: 413. */
#define LIMIT_TASK_REQUEST_BYTES LIMIT_OBJECT_BYTES
/* Strings, numbers and so on in a task request. A tree of them takes thirty times the memory of its
 * text, and the sidecar has 64 MiB. More: the request is malformed. */
#define LIMIT_TASK_REQUEST_VALUES 65536

/* ---- what all runs of an operator share; its manifest allows it 64 MiB of memory
 * ----------------- */
/* What has come of attempts that are not written yet (--run-memory). Full: the largest drop their
 * output, and read it from their agents again when they have ended. */
#define LIMIT_RUN_MEMORY_BYTES (12u << 20)
/* The least of it: one attempt's output, twice while buffers grow. */
#define LIMIT_RUN_MEMORY_LEAST (4u << 20)
/* Final statuses that are made, sent and answered at one moment. Beyond it they wait in line. */
#define LIMIT_RESULTS_BYTES (3u << 20)
/* Tasks with large steps that are read from the API server and sent to pods at one moment; the
 * same. */
#define LIMIT_STARTS_BYTES (2u << 20)
/* What is written to show the output of tasks that run, counted as etcd stores it: whole objects.
 */
#define LIMIT_PROGRESS_BYTES_PER_S (128u << 10)
/* Streams of tasks that are open at one moment (--max-streams), each a connection to an agent.
 * More: they take turns. One that others wait for is closed when it has been open for
 * LIMIT_STREAM_SLICE_MS, and goes on later where it was; the agent keeps what it has to tell. */
#define LIMIT_STREAMS 512
#define LIMIT_STREAM_SLICE_MS 5000
/* What an agent may send: an event is one, and one more for each 4 KiB. Beyond it the stream is cut
 * and begun again where it was, a second later. The first is of a stream, after LIMIT_STREAM_EVENTS
 * at once; the others of all streams. */
#define LIMIT_STREAM_EVENTS_PER_S 1000
#define LIMIT_STREAM_EVENTS 20000
#define LIMIT_ALL_EVENTS_PER_S 10000
#define LIMIT_ALL_EVENTS 60000

/* The most that the clocks of a cluster are thought to differ. */
#define LIMIT_CLOCK_SKEW_MS 300000

/* ---- the sidecar ----------------------------------------------------------------------------- */
/* One more: one of those that wait for (the rest of) a request is cut. First those that have proven
 * nothing, of them one of the peer that has most, of these the one that has waited longest. */
#define LIMIT_HTTP_CONNECTIONS 64
/* Bodies that are being received and what streams have queued, of all connections together. More:
 * 503 for a request, and a stream queues no more than one line. */
#define LIMIT_HTTP_HELD_BYTES (12u << 20)
/* What the kernel may keep of a connection that nobody has read yet; it counts as the container's.
 * The kernel doubles the number. */
#define LIMIT_HTTP_SOCKET_BYTES (128u << 10)
#define LIMIT_HTTP_HEADER_BYTES (16u << 10)
#define LIMIT_HTTP_REQUEST_TOTAL_MS 10000 /* from the first byte to the end of the body */
/* Nonces remembered against replay. One more: the one of the oldest signature is forgotten, and no
 * request that was signed then or before is taken any more. */
#define LIMIT_NONCES 16384
#define LIMIT_REFUSAL_LINES_MS 1000 /* one log line of a kind so often; the others are counted */
#define LIMIT_CONTAINERS 8          /* user containers of a pod */
#define LIMIT_RUNNER_FRAME_BYTES (LIMIT_TASK_REQUEST_BYTES + 4096u)

#endif
