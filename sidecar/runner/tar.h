/*
 * The tar format: ustar with pax headers, read and written block by block. Values in, values out;
 * nothing here touches a file.
 *
 * What is read is hostile. An entry that tar_read_block() returns has a name that is relative, not
 * longer than PATH_MAX, and without "..", "." and empty components ("" for the folder itself); the
 * target of a link is such a name as well, or begins with as many ".." as the link's folder allows.
 * Also read: names and sizes as GNU tar writes them. Extended attributes and owners' names are
 * passed over; sparse files, devices and pipes are refused.
 *
 * Own code, since libarchive.a brings zlib, xml2, lzma, bz2 and nettle along, and a locale for
 * names that are not ASCII, where a static program has none.
 */
#ifndef ARL_SIDECAR_RUNNER_TAR_H
#define ARL_SIDECAR_RUNNER_TAR_H

#include <limits.h>

#include "common/base/base.h"
#include "common/base/buf.h"

#define TAR_BLOCK 512
/* Of a pax header or a long name. Longer: refused. */
#define TAR_META_BYTES_MAX (256u << 10)

enum tar_type { TAR_FILE, TAR_FOLDER, TAR_SYMLINK, TAR_HARDLINK };

struct tar_entry {
    enum tar_type type;
    char *name; /* owned */
    char *link; /* owned; NULL: none */
    uint32_t mode;
    uint64_t size; /* of a file; that many bytes follow, and then up to a whole block */
    int64_t mtime_ns;
    uint64_t uid; /* written only */
    uint64_t gid;
};
void tar_entry_done(struct tar_entry *e);

/* Zero bytes behind so many bytes, up to a whole block. */
size_t tar_padding(uint64_t size);

/* ---- reading --------------------------------------------------------------------------------- */

struct tar_reader {
    struct buf meta; /* a pax header or a long name that is being read */
    uint64_t meta_left;
    char meta_type; /* 0: none */
    bool zero_block;
    /* what pax headers and long names say of the next entry */
    char *path;
    char *link;
    bool has_size, has_mtime;
    uint64_t size;
    int64_t mtime_ns;
    char why[256]; /* TAR_BAD: a sentence */
};

enum tar_result {
    TAR_MORE,  /* give the next block */
    TAR_ENTRY, /* *ret is the next entry; the caller reads its bytes itself */
    TAR_END,   /* the archive is complete */
    TAR_BAD,
};

void tar_reader_init(struct tar_reader *r);
void tar_reader_done(struct tar_reader *r);
/* The next block that is not a file's. *ret is filled in for TAR_ENTRY, and the caller's then. */
enum tar_result tar_read_block(struct tar_reader *r, const unsigned char block[TAR_BLOCK],
                               struct tar_entry *ret);

/* ---- writing --------------------------------------------------------------------------------- */

/* Appends what stands before an entry's bytes; room for TAR_HEAD_BYTES_MAX. */
#define TAR_HEAD_BYTES_MAX (2 * PATH_MAX + 4 * TAR_BLOCK)
void tar_write_head(struct buf *b, const struct tar_entry *e);
void tar_write_end(struct buf *b);

#endif
