/*
 * The sidecar's side of the sealed channel (common/wire/channel.h). Between the HTTP server and the
 * routes: who has passed the signature gets a sealed_exchange, and whatever answers it is sealed.
 *
 * Shared secrets are kept for CHANNEL_PEERS_MAX operators, the least recently used one goes. That
 * only saves time.
 */
#ifndef ARL_SIDECAR_AUTH_SEALED_H
#define ARL_SIDECAR_AUTH_SEALED_H

#include "common/wire/channel.h"

/* Two operators, and some that they followed. */
#define CHANNEL_PEERS_MAX 8

struct http_exchange;
struct sealer;

/* The key is read from the journal's folder. */
int sealer_new(const char *state, const char *pod_uid, struct sealer **ret, struct err *err);
void sealer_free(struct sealer *s);

/* A request whose signature was good. */
struct sealed_exchange {
    struct http_exchange *http;
    const char *sandbox_uid; /* as signed */
    const char *body;        /* opened, by sealed_open() */
    size_t body_len;
    unsigned char request_key[CHANNEL_KEY_BYTES];
    unsigned char answer_key[CHANNEL_KEY_BYTES];
};
/* Works out the keys of an exchange. -EACCES: what was signed as the operator's key is none. */
int sealed_begin(struct sealer *s, struct http_exchange *x, const char *nonce,
                 struct sealed_exchange *ret, struct err *err);
/* Forgets the keys; a stream has what it needs. */
void sealed_done(struct sealed_exchange *x);
/* Opens the body in place; an empty one stays empty. -EPROTO: it does not say that it is sealed;
 * -EBADMSG: it was not sealed for this pod and this request. */
int sealed_open(struct sealed_exchange *x, struct err *err);

/* A whole answer. */
void sealed_reply(struct sealed_exchange *x, int status, const void *body, size_t len);

/* A stream of frames. It lives until sealed_stream_end() or sealed_stream_cut(), or until on_gone()
 * told that the peer went away, as an http_stream does. */
struct sealed_stream_opts {
    size_t max_queue; /* of sealed bytes; more than a frame of CHANNEL_FRAME_MAX */
    void (*on_drain)(void *arg);
    void (*on_gone)(void *arg);
    void *arg;
};
struct sealed_stream;
struct sealed_stream *sealed_reply_stream(struct sealed_exchange *x, int status,
                                          const struct sealed_stream_opts *opts);
/* How many bytes the next frame may have. 0: none now, on_drain() tells. */
size_t sealed_stream_room(const struct sealed_stream *s);
/* A frame; at most sealed_stream_room() bytes. */
void sealed_stream_write(struct sealed_stream *s, const void *data, size_t len);
/* The last frame, with at most sealed_stream_room() bytes. -ENOBUFS: no room even for an empty one;
 * nothing has happened, and on_drain() tells. */
int sealed_stream_end(struct sealed_stream *s, const void *data, size_t len);
/* Ends it where it is: with a last frame if there is room, else as a cut. An end of HTTP's own that
 * no last frame comes before is somebody else's, see operator/agent/agent_call.c. */
void sealed_stream_cut(struct sealed_stream *s);
size_t sealed_stream_queued(const struct sealed_stream *s);

#endif
