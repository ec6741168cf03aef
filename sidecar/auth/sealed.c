#include "sidecar/auth/sealed.h"

#include <errno.h>
#include <sodium.h>

#include "common/io/http_server.h"
#include "sidecar/auth/agent_key.h"

struct peer {
    unsigned char operator_key[CHANNEL_KEY_BYTES];
    struct channel_shared shared;
    uint64_t used; /* 0: the place is free */
};

struct sealer {
    struct channel_pair pair;
    char *pod_uid;
    struct peer peers[CHANNEL_PEERS_MAX];
    uint64_t uses;
};

int sealer_new(const char *state, const char *pod_uid, struct sealer **ret, struct err *err)
{
    struct sealer *s = xcalloc(1, sizeof(*s));
    int r = agent_key_load(state, &s->pair, err);

    if (r < 0) {
        free(s);
        return r;
    }
    s->pod_uid = xstrdup(pod_uid);
    *ret = s;
    return 0;
}

void sealer_free(struct sealer *s)
{
    if (!s)
        return;
    free(s->pod_uid);
    sodium_memzero(s, sizeof(*s));
    free(s);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static struct peer *find(struct sealer *s, const unsigned char *operator_key)
{
    for (size_t i = 0; i < CHANNEL_PEERS_MAX; i++)
        if (s->peers[i].used > 0 &&
            memcmp(s->peers[i].operator_key, operator_key, CHANNEL_KEY_BYTES) == 0)
            return &s->peers[i];
    return NULL;
}

static struct peer *least_used(struct sealer *s)
{
    struct peer *p = &s->peers[0];

    for (size_t i = 1; i < CHANNEL_PEERS_MAX; i++)
        if (s->peers[i].used < p->used)
            p = &s->peers[i];
    return p;
}

/* NULL: the key is one that no honest side has. */
static const struct channel_shared *shared_with(struct sealer *s, const unsigned char *operator_key)
{
    struct peer *p = find(s, operator_key);

    if (!p) {
        struct channel_shared shared;

        if (channel_shared_agent(&s->pair, operator_key, s->pod_uid, &shared) < 0)
            return NULL;
        p = least_used(s);
        memcpy(p->operator_key, operator_key, sizeof(p->operator_key));
        p->shared = shared;
        sodium_memzero(&shared, sizeof(shared));
    }
    p->used = ++s->uses;
    return &p->shared;
}

int sealed_begin(struct sealer *s, struct http_exchange *x, const char *nonce,
                 struct sealed_exchange *ret, struct err *err)
{
    const char *text = str_or_empty(http_header(x, "Arl-Operator-Key"));
    struct channel_exchange about = {
        .method = http_method(x),
        .path = http_path(x),
        .query = http_query(x),
        .sandbox_uid = str_or_empty(http_header(x, "Arl-Sandbox-Uid")),
        .nonce = nonce,
    };
    unsigned char operator_key[CHANNEL_KEY_BYTES];
    const struct channel_shared *shared = NULL;

    if (channel_key_parse(text, strlen(text), operator_key))
        shared = shared_with(s, operator_key);
    if (!shared)
        return err_set(err, -EACCES, "Arl-Operator-Key is not an X25519 key as base64url");
    *ret = (struct sealed_exchange){.http = x, .sandbox_uid = about.sandbox_uid};
    channel_derive(shared, &about, CHANNEL_REQUEST, ret->request_key);
    channel_derive(shared, &about, CHANNEL_ANSWER, ret->answer_key);
    return 0;
}

void sealed_done(struct sealed_exchange *x)
{
    sodium_memzero(x, sizeof(*x));
}

int sealed_open(struct sealed_exchange *x, struct err *err)
{
    size_t len;
    const char *body = http_body(x->http, &len);

    x->body = body;
    x->body_len = 0;
    if (len == 0)
        return 0;
    if (!str_eq(http_header(x->http, "Content-Type"), CHANNEL_CONTENT_TYPE))
        return err_set(err, -EPROTO, "the body is not of type " CHANNEL_CONTENT_TYPE);
    /* The bytes belong to the exchange, and nobody needs them sealed any more. */
    if (channel_open(x->request_key, (char *)(uintptr_t)body, len, &x->body_len) < 0)
        return err_set(err, -EBADMSG, "the body was not sealed for this pod and this request");
    ((char *)(uintptr_t)body)[x->body_len] = '\0';
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Of an answer of so many bytes, with room for the header and the status. */
static size_t sealed_bytes(size_t len)
{
    return CHANNEL_HEADER_BYTES + len +
           (len / CHANNEL_FRAME_MAX + 3) * (CHANNEL_FRAME_OVERHEAD + 2);
}

void sealed_reply(struct sealed_exchange *x, int status, const void *body, size_t len)
{
    cleanup_buf struct buf out = BUF_INIT(sealed_bytes(len));
    int r = channel_answer(x->answer_key, status, body, len, &out);

    assert(r == 0);
    http_reply(x->http, 200, CHANNEL_CONTENT_TYPE, out.data, out.len);
}

struct sealed_stream {
    struct sealed_stream_opts opts;
    struct http_stream *http;
    struct channel_writer writer;
};

static void stream_free(struct sealed_stream *s)
{
    sodium_memzero(s, sizeof(*s));
    free(s);
}

static void on_drain(void *arg)
{
    struct sealed_stream *s = arg;

    s->opts.on_drain(s->opts.arg);
}

static void on_gone(void *arg)
{
    struct sealed_stream *s = arg;
    void (*cb)(void *) = s->opts.on_gone;
    void *cb_arg = s->opts.arg;

    stream_free(s);
    cb(cb_arg);
}

/* There is room: who writes has asked. */
static void queue(struct sealed_stream *s, const struct buf *b)
{
    int r = http_stream_write(s->http, b->data, b->len);

    assert(r == 0);
}

struct sealed_stream *sealed_reply_stream(struct sealed_exchange *x, int status,
                                          const struct sealed_stream_opts *opts)
{
    struct sealed_stream *s = xcalloc(1, sizeof(*s));
    struct http_stream_opts ho = {.status = 200,
                                  .content_type = CHANNEL_CONTENT_TYPE,
                                  .max_queue = opts->max_queue,
                                  .on_drain = on_drain,
                                  .on_gone = on_gone,
                                  .arg = s};
    cleanup_buf struct buf b = BUF_INIT(sealed_bytes(0));

    s->opts = *opts;
    channel_writer_begin(&s->writer, x->answer_key, status, &b);
    s->http = http_reply_stream(x->http, &ho);
    queue(s, &b);
    return s;
}

size_t sealed_stream_room(const struct sealed_stream *s)
{
    size_t room = http_stream_room(s->http);

    return room > CHANNEL_FRAME_OVERHEAD
               ? MIN(room - CHANNEL_FRAME_OVERHEAD, (size_t)CHANNEL_FRAME_MAX)
               : 0;
}

static void put(struct sealed_stream *s, const void *data, size_t len, bool final)
{
    cleanup_buf struct buf b = BUF_INIT(CHANNEL_FRAME_MAX + CHANNEL_FRAME_OVERHEAD);

    channel_writer_put(&s->writer, data, len, final, &b);
    queue(s, &b);
}

void sealed_stream_write(struct sealed_stream *s, const void *data, size_t len)
{
    put(s, data, len, false);
}

int sealed_stream_end(struct sealed_stream *s, const void *data, size_t len)
{
    if (http_stream_room(s->http) < len + CHANNEL_FRAME_OVERHEAD)
        return -ENOBUFS;
    put(s, data, len, true);
    http_stream_end(s->http);
    stream_free(s);
    return 0;
}

void sealed_stream_cut(struct sealed_stream *s)
{
    if (sealed_stream_end(s, NULL, 0) == 0)
        return;
    http_stream_cut(s->http);
    stream_free(s);
}

size_t sealed_stream_queued(const struct sealed_stream *s)
{
    return http_stream_queued(s->http);
}
