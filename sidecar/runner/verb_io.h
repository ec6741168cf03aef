/*
 * How the verbs (verbs.h) read a body and write an answer: with checksums and an explicit end.
 * Standard input also ends when the connection is cut. So the end of the descriptor never counts as
 * the end of a body.
 *
 * Memory does not grow with the body. The verb gives up if the peer sends or reads no byte for
 * VERB_IDLE_MS.
 */
#ifndef ARL_SIDECAR_RUNNER_VERB_IO_H
#define ARL_SIDECAR_RUNNER_VERB_IO_H

#include <openssl/sha.h>

#include "common/base/base.h"
#include "common/base/buf.h"

#define VERB_IDLE_MS 300000
#define VERB_CHUNK_BYTES (64u << 10)
#define VERB_FRAME_BYTES_MAX (1u << 20)
#define VERB_HASH_TEXT (2 * SHA256_DIGEST_LENGTH + 1)

/* Errors that are not errno values; those are smaller. */
enum verb_error {
    VERB_CUT = 10000, /* the input ended before the body was complete */
    VERB_CHECKSUM,    /* the body does not match its checksum */
    VERB_FRAME,       /* a frame is too long */
    VERB_PATH,        /* the path has "..", or is empty */
    VERB_LINK,        /* a link that is not followed */
    VERB_OUT_OF_VOLUME,
    VERB_NOT_A_FILE,
    VERB_ARCHIVE,
    VERB_CHANGED,
    VERB_ERROR_END,
};

enum verb_body {
    VERB_BODY_PLAIN,  /* as long as the caller reads */
    VERB_BODY_SIZED,  /* `left` bytes */
    VERB_BODY_FRAMED, /* length, bytes, ... 0, SHA-256 */
};

struct verb_in {
    int fd;
    enum verb_body kind;
    uint64_t left; /* of the body, or of the frame */
    bool has_want;
    unsigned char want[SHA256_DIGEST_LENGTH];
    bool ended;
    uint64_t size; /* so far */
    SHA256_CTX hash;
    unsigned char digest[SHA256_DIGEST_LENGTH]; /* once it has ended */
};

void verb_in_init(struct verb_in *in, int fd, enum verb_body kind, uint64_t size,
                  const unsigned char *want);
/* Reads 1 to len bytes; *ret 0: the body is complete and matches its checksum. Returns 0, an errno
 * value or one of enum verb_error. */
int verb_in_read(struct verb_in *in, void *data, size_t len, size_t *ret);
/* Exactly len bytes; VERB_CUT if the body has fewer. */
int verb_in_full(struct verb_in *in, void *data, size_t len);
/* Reads the rest of a body that has an explicit end; then in->digest is set. */
int verb_in_finish(struct verb_in *in);

struct verb_out {
    int fd;
    uint64_t size;
    SHA256_CTX hash;
};

void verb_out_init(struct verb_out *out, int fd);
/* Writes all bytes. 0 or an errno value. */
int verb_out_write(struct verb_out *out, const void *data, size_t len);
/* Writes the contents of b and empties it. */
int verb_out_flush(struct verb_out *out, struct buf *b);
void verb_out_digest(const struct verb_out *out, unsigned char ret[SHA256_DIGEST_LENGTH]);

/* Writes bytes that are not part of the answer's checksum: the verb's own lines. */
int verb_write(int fd, const char *data, size_t len);
void verb_hash_format(const unsigned char digest[SHA256_DIGEST_LENGTH], char ret[VERB_HASH_TEXT]);
/* false: not 64 hex digits. */
bool verb_hash_parse(const char *text, unsigned char ret[SHA256_DIGEST_LENGTH]);

#endif
