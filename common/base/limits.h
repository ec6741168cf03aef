/*
 * The limits that more than one file uses. Each comment says what happens at the limit. All other
 * limits are at the top of the header that they belong to. A number that comes from outside names
 * its source.
 */
#ifndef ARL_COMMON_BASE_LIMITS_H
#define ARL_COMMON_BASE_LIMITS_H

/* ---- Kubernetes ------------------------------------------------------------------------------ */
/* One object in a watch. etcd refuses objects of more than 1.5 MiB (--max-request-bytes); the JSON
 * of an object can be larger than the stored form. Longer: only the object's metadata is read. */
#define LIMIT_OBJECT_BYTES (4u << 20)
/* The longest answer to one API call (a list page): one object of 1.5 MiB, each byte of it escaped
 * as six, still fits. Longer: the call fails with EMSGSIZE, and a page gets shorter. */
#define LIMIT_RESPONSE_BYTES (10u << 20)
/* The memory of the tree of one JSON text, as estimated from the text: a tree can take 300 times
 * the memory of its text. More: the tree is not built (-EMSGSIZE). */
#define LIMIT_JSON_TREE_BYTES (16u << 20)
/* Objects per list page. Pages keep the text of a list small; items are decoded one by one. */
#define LIMIT_LIST_PAGE 50
/* A Task object with its status stays below this: clients were promised that. More: the output is
 * cut until the object fits. */
#define LIMIT_TASK_OBJECT_BYTES (1u << 20)
/* The largest object that etcd accepts: a request (--max-request-bytes, default 1572864) without
 * the key and the revision that a write has beside the object. */
#define LIMIT_ETCD_OBJECT_BYTES (1572864u - 2048u)
/* The status of a large Task may take this much, even if the object is beyond the promise then. */
#define LIMIT_STATUS_ROOM_BYTES (64u << 10)
/* A label value and a pod name's DNS label (RFC 1123). */
#define LIMIT_NAME_BYTES 253
#define LIMIT_LABEL_BYTES 63
#define LIMIT_POOL_NAME_BYTES                                                                      \
    54 /* a pod's name is a dash and eight characters longer; the CRD says the same */
/* spec.template of a WarmPool, as text. It is kept in memory, and a tenant may make many pools.
 * More: the pool is InvalidTemplate. */
#define LIMIT_TEMPLATE_BYTES (64u << 10)
/* A UID is a UUID of 36 characters; a resourceVersion is a number. An object with a longer one, or
 * with other characters in it, is left out. */
#define LIMIT_UID_BYTES 64
#define LIMIT_RESOURCE_VERSION_BYTES 64
/* A condition's reason and message, and messages of a pod, its containers or the API server.
 * Longer: cut. */
#define LIMIT_REASON_BYTES 128
#define LIMIT_MESSAGE_BYTES 4096
#define LIMIT_FOREIGN_MESSAGE_BYTES 1024
#define LIMIT_STEP_NAME_BYTES 1024 /* spec.steps[].name: 253 characters; the CRD says the same */
#define LIMIT_TRACE_BYTES 1024     /* spec.traceID: 256 characters; the CRD says the same */
/* A path in a pod. A longer path, or one that is not absolute, is ignored. */
#define LIMIT_PATH_BYTES 4096

/* ---- tasks ----------------------------------------------------------------------------------- */
#define LIMIT_OUTPUT_BYTES_DEFAULT (256u << 10) /* a stream of a step; head and tail are kept */
#define LIMIT_STEPS 256                         /* steps of a task; the CRD says the same */
#define LIMIT_FUZZ 2                            /* steps[].fuzz; the CRD says the same */
#define LIMIT_SANDBOX_ENV 256                   /* Sandbox.spec.env; the CRD says the same */
#define LIMIT_RETRIES 10                        /* spec.retries; the CRD says the same */
#define LIMIT_TASK_TIMEOUT_MS_DEFAULT 300000    /* of a step; clients wait as long */
/* One line of a task event stream: the largest chunk below as base64 and its JSON around. Longer:
 * the stream is treated as broken and attached to again. */
#define LIMIT_EVENT_CHUNK_BYTES (32u << 10)
#define LIMIT_EVENT_LINE_BYTES (64u << 10)
/* The last output of a stream, which an agent sends while the step runs. More: only its end is
 * sent. */
#define LIMIT_TAIL_BYTES 4096u
/* All headers of an answer: its own, those of interim answers before it, and the trailers. More:
 * the call fails with EMSGSIZE. */
#define LIMIT_ANSWER_HEADERS_BYTES (64u << 10)
/* An agent's answer that is not a stream. A longer answer counts as no answer. */
#define LIMIT_AGENT_ANSWER_BYTES (64u << 10)
#define LIMIT_AGENT_ANSWER_TREE_BYTES (1u << 20)
/* The body of a task request: an object of LIMIT_OBJECT_BYTES, escaped. Larger: 413. */
#define LIMIT_TASK_REQUEST_BYTES LIMIT_OBJECT_BYTES
/* JSON values in a task request. Their tree takes thirty times the memory of the text, and the
 * sidecar has 64 MiB. More: the request is refused as malformed. */
#define LIMIT_TASK_REQUEST_VALUES 65536

/* ---- shared by all runs of an operator, whose manifest allows it 64 MiB -----------------------
 */
/* The outputs of all attempts whose results are not written yet (--run-memory). At the limit the
 * largest runs drop their output; it is read from their agents again when they have ended. */
#define LIMIT_RUN_MEMORY_BYTES (12u << 20)
/* The smallest --run-memory: the output of one attempt, twice while a buffer grows. */
#define LIMIT_RUN_MEMORY_LEAST (4u << 20)
/* Final statuses that are being written at one moment. Further ones wait in line. */
#define LIMIT_RESULTS_BYTES (3u << 20)
/* Large steps that are being read from the API server and sent to pods at one moment. Further ones
 * wait in line. */
#define LIMIT_STARTS_BYTES (2u << 20)
/* Writes that show the output of running tasks, counted as etcd stores them: as whole objects.
 * Further ones wait in line. */
#define LIMIT_PROGRESS_BYTES_PER_S (128u << 10)
/* Streams of tasks that are open at one moment (--max-streams); each is a connection to an agent.
 * If more tasks run, the streams take turns: while others wait, a stream is closed after
 * LIMIT_STREAM_SLICE_MS, and goes on later where it was. The agent keeps its events meanwhile. */
#define LIMIT_STREAMS 512
#define LIMIT_STREAM_SLICE_MS 5000
/* How many events agents may send, where each 4 KiB of an event count as one more. The rate and the
 * burst of one stream, then those of all streams together. At a limit the stream is cut, and goes
 * on a second later where it was. */
#define LIMIT_STREAM_EVENTS_PER_S 1000
#define LIMIT_STREAM_EVENTS 20000
#define LIMIT_ALL_EVENTS_PER_S 10000
#define LIMIT_ALL_EVENTS 60000

/* How far the clocks of a cluster may differ. */
#define LIMIT_CLOCK_SKEW_MS 300000

/* ---- the sidecar ----------------------------------------------------------------------------- */
/* At the limit the server cuts a connection that waits for a request or the rest of one: first one
 * without a valid signature; of these one of the peer with the most connections; of these the one
 * that has waited longest. */
#define LIMIT_HTTP_CONNECTIONS 64
/* Bodies that are being received, and the queues of streams, of all connections together. At the
 * limit a request gets 503, and a stream queues only one line. */
#define LIMIT_HTTP_HELD_BYTES (12u << 20)
/* How much unread data of a connection the kernel may keep; that memory counts for the container.
 * The kernel doubles the number. */
#define LIMIT_HTTP_SOCKET_BYTES (128u << 10)
#define LIMIT_HTTP_HEADER_BYTES (16u << 10)
#define LIMIT_HTTP_REQUEST_TOTAL_MS 10000 /* from the first byte to the end of the body */
/* Nonces that are remembered against replay. At the limit the nonce of the oldest signature is
 * forgotten, and requests with signatures of that second or earlier are refused. */
#define LIMIT_NONCES 16384
/* Log lines of a kind: one in this time, the others are counted. */
#define LIMIT_REFUSAL_LINES_MS 1000
#define LIMIT_CONTAINERS 8 /* user containers of a pod */
#define LIMIT_RUNNER_FRAME_BYTES (LIMIT_TASK_REQUEST_BYTES + 4096u)

#endif
