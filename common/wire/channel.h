/*
 * The sealed channel between operator and agent (libsodium). Only these two can read or make its
 * messages. Code in the sandbox cannot, and other machines on the network cannot.
 *
 * Both have an X25519 key pair. The first init container makes the agent's pair before any code of
 * the user runs; its public half reaches the operator in the pod's status. The operator makes its
 * own pair at each start, and each request has the public half under its signature (signature.h).
 *
 *   shared secret  = BLAKE2b-256(X25519, both public keys, pod UID): once for each pair of them
 *   key of a body  = BLAKE2b-256 keyed with it, of direction, method, path, query, sandbox UID and
 *                    the nonce of the signature: a key is used for one request, or for one answer
 *
 * The body of a request, if it is not empty: XChaCha20-Poly1305 with that key and a nonce of zeroes
 * (the key is used once), and behind it the tag of CHANNEL_SEAL_BYTES.
 *
 * An answer: the header of a secretstream (24 bytes), then frames: the length of what follows (4
 * bytes, little endian), and the encrypted frame. The first frame is the status (2 bytes, little
 * endian), the others are bytes of the body; the last frame has the tag FINAL. HTTP's own status
 * and headers prove nothing and are the same for every answer.
 */
#ifndef ARL_COMMON_WIRE_CHANNEL_H
#define ARL_COMMON_WIRE_CHANNEL_H

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/limits.h"

#define CHANNEL_CONTENT_TYPE "application/vnd.arl.sealed"
#define CHANNEL_KEY_BYTES 32
#define CHANNEL_KEY_TEXT 44 /* base64url without padding, with NUL */
#define CHANNEL_SEAL_BYTES 16
#define CHANNEL_HEADER_BYTES 24
#define CHANNEL_FRAME_OVERHEAD (4 + 17)
/* Plain text of a frame. Longer: the answer is not believed. */
#define CHANNEL_FRAME_MAX LIMIT_EVENT_LINE_BYTES
/* In front of the public key in the termination message of the init container. */
#define CHANNEL_KEY_PREFIX "arl-agent-key:"

struct channel_pair {
    unsigned char public_key[CHANNEL_KEY_BYTES];
    unsigned char secret[CHANNEL_KEY_BYTES];
};
/* The pair whose secret half is these random bytes. */
void channel_pair_init(struct channel_pair *ret, const unsigned char secret[CHANNEL_KEY_BYTES]);
void channel_pair_wipe(struct channel_pair *p);

void channel_key_format(const unsigned char key[CHANNEL_KEY_BYTES], char ret[CHANNEL_KEY_TEXT]);
/* Exactly len characters; only the text that channel_key_format() makes. */
bool channel_key_parse(const char *text, size_t len, unsigned char ret[CHANNEL_KEY_BYTES]);

struct channel_shared {
    unsigned char key[CHANNEL_KEY_BYTES];
};
/* -EACCES: the other side's key is one that no honest side has. */
int channel_shared_operator(const struct channel_pair *operator_pair,
                            const unsigned char agent_key[CHANNEL_KEY_BYTES], const char *pod_uid,
                            struct channel_shared *ret);
int channel_shared_agent(const struct channel_pair *agent_pair,
                         const unsigned char operator_key[CHANNEL_KEY_BYTES], const char *pod_uid,
                         struct channel_shared *ret);

/* What one exchange is about; none is NULL. */
struct channel_exchange {
    const char *method;
    const char *path;
    const char *query; /* without '?', "" for none */
    const char *sandbox_uid;
    const char *nonce; /* of the signature, as text */
};
enum channel_direction {
    CHANNEL_REQUEST,
    CHANNEL_ANSWER,
};
void channel_derive(const struct channel_shared *shared, const struct channel_exchange *x,
                    enum channel_direction direction, unsigned char ret[CHANNEL_KEY_BYTES]);

/* ---- bodies of requests ---------------------------------------------------------------------- */

/* Appends len + CHANNEL_SEAL_BYTES bytes. -ENOBUFS: *out has no room. */
int channel_seal(const unsigned char key[CHANNEL_KEY_BYTES], const void *plain, size_t len,
                 struct buf *out);
/* Opens in place: the plain text is the first *ret_len bytes of sealed. -EBADMSG: it does not open,
 * and its bytes are destroyed. */
int channel_open(const unsigned char key[CHANNEL_KEY_BYTES], void *sealed, size_t len,
                 size_t *ret_len);

/* ---- answers --------------------------------------------------------------------------------- */

/* state is that of a secretstream of libsodium. */
struct channel_writer {
    unsigned char state[52];
};
/* Appends header and status. Takes random bytes. -ENOBUFS: *out has no room. */
int channel_writer_begin(struct channel_writer *w, const unsigned char key[CHANNEL_KEY_BYTES],
                         int status, struct buf *out);
/* Appends a frame of at most CHANNEL_FRAME_MAX bytes; nothing may follow the final one. -ENOBUFS:
 * *out has no room, and the writer has not moved. */
int channel_writer_put(struct channel_writer *w, const void *data, size_t len, bool final,
                       struct buf *out);
/* A whole answer. -ENOBUFS. */
int channel_answer(const unsigned char key[CHANNEL_KEY_BYTES], int status, const void *body,
                   size_t len, struct buf *out);

struct channel_reader {
    unsigned char key[CHANNEL_KEY_BYTES];
    unsigned char state[52];
    struct buf in; /* a frame that is not complete yet */
    bool begun;    /* the header has come */
    int status;    /* 0: not known yet */
    bool final;    /* the last frame has come */
};
struct channel_reader_handler {
    /* The true status; before any data. */
    void (*on_status)(void *arg, int status);
    void (*on_data)(void *arg, const char *data, size_t len);
    /* Whether the reader should go on. NULL: always. */
    bool (*wanted)(void *arg);
};
void channel_reader_init(struct channel_reader *r, const unsigned char key[CHANNEL_KEY_BYTES]);
void channel_reader_done(struct channel_reader *r);
/*
 * Takes bytes as they come. 0, or -EBADMSG: the other side has not made them for this exchange (a
 * frame does not open or is too long, or there are bytes behind the last frame). Bytes that were
 * handed out before are genuine nevertheless. The callbacks must not free the reader.
 */
int channel_reader_feed(struct channel_reader *r, const char *data, size_t len,
                        const struct channel_reader_handler *handler, void *arg);

#endif
