/*
 * The sidecar's side of the sealed channel (common/wire/channel.h), between the HTTP server and the
 * routes. A request with a valid signature gets a sealed_exchange, and each answer to it is sealed.
 *
 * Shared secrets are kept for CHANNEL_PEERS_MAX operators, to save time. The least recently used
 * one is dropped.
 */
#ifndef ARL_SIDECAR_AUTH_SEALED_H
#define ARL_SIDECAR_AUTH_SEALED_H

#include "common/wire/channel.h"

/* Two operators, and some of their earlier processes. */
#define CHANNEL_PEERS_MAX 8

struct http_exchange;
struct sealer;

/* The key is read from the journal's folder. */
int sealer_new(const char *state, const char *pod_uid, struct sealer **ret, struct err *err);
void sealer_free(struct sealer *s);

/* A request with a valid signature. */
struct sealed_exchange {
    struct http_exchange *http;
    const char *sandbox_uid; /* as signed */
    const char *body;        /* opened, by sealed_open() */
    size_t body_len;
    unsigned char request_key[CHANNEL_KEY_BYTES];
    unsigned char answer_key[CHANNEL_KEY_BYTES];
};
/* Computes the keys of an exchange. -EACCES: the operator's key in the signed head is not a key. */
int sealed_begin(struct sealer *s, struct http_exchange *x, const char *nonce,
                 struct sealed_exchange *ret, struct err *err);
/* Erases the keys. A stream has its own copy of those it needs. */
void sealed_done(struct sealed_exchange *x);
/* Opens the body in place; an empty body stays empty. -EPROTO: its content type is not that of a
 * sealed body; -EBADMSG: it was not sealed for this pod and this request. */
int sealed_open(struct sealed_exchange *x, struct err *err);

/* Sends a whole answer. */
void sealed_reply(struct sealed_exchange *x, int status, const void *body, size_t len);

/* A stream of frames. Like an http_stream it lives until sealed_stream_end() or
 * sealed_stream_cut(), or until on_gone() says that the peer has gone. */
struct sealed_stream_opts {
    size_t max_queue; /* of sealed bytes; more than a frame of CHANNEL_FRAME_MAX */
    void (*on_drain)(void *arg);
    void (*on_gone)(void *arg);
    void *arg;
};
struct sealed_stream;
struct sealed_stream *sealed_reply_stream(struct sealed_exchange *x, int status,
                                          const struct sealed_stream_opts *opts);
/* How many bytes the next frame may have. 0: wait for on_drain(). */
size_t sealed_stream_room(const struct sealed_stream *s);
/* Writes a frame of at most sealed_stream_room() bytes. */
void sealed_stream_write(struct sealed_stream *s, const void *data, size_t len);
/* Writes the last frame, with at most sealed_stream_room() bytes. -ENOBUFS: there is no room even
 * for an empty frame; nothing was written, wait for on_drain(). */
int sealed_stream_end(struct sealed_stream *s, const void *data, size_t len);
/* Ends the stream at once: with a last frame if there is room for one, else by closing the
 * connection. It never sends HTTP's own end without a last frame: operator/agent/agent_call.c takes
 * that for a forgery. */
void sealed_stream_cut(struct sealed_stream *s);
size_t sealed_stream_queued(const struct sealed_stream *s);

#endif
