/*
 * A tar archive, which comes from users: blocks are read as the verb untar reads them, with the
 * bytes of files passed over. Whatever comes of it names nothing outside of the folder, and is the
 * same when it is written and read once more.
 */
#include <stdio.h>

#include "sidecar/runner/tar.h"
#include "tests/fuzz/fuzz.h"

/* Relative, without "..", "." and empty parts; `up`: so many ".." may be in front. */
static void check_name(const char *name, size_t up)
{
    bool names = false;

    property(name[0] != '/' && strlen(name) < PATH_MAX);
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        bool dots = n == 2 && p[0] == '.' && p[1] == '.';

        property(n > 0 && n <= NAME_MAX);
        property(!(n == 1 && *p == '.') || strcmp(name, ".") == 0);
        property(!dots || (!names && up-- > 0));
        names = names || !dots;
        p += n;
        property(*p != '/' || p[1]);
        p += *p == '/';
    }
}

static void check_entry(const struct tar_entry *e)
{
    size_t depth = 0;

    check_name(e->name, 0);
    property(e->name[0] || e->type == TAR_FOLDER);
    property(e->mode <= 07777 && e->size <= INT64_MAX);
    property((e->link != NULL) == (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK));
    for (const char *p = e->name; *p; p++)
        depth += *p == '/';
    if (e->link) {
        property(e->link[0]);
        check_name(e->link, e->type == TAR_SYMLINK ? depth : 0);
    }
}

static void check_again(const struct tar_entry *e)
{
    cleanup_buf struct buf b = BUF_INIT(TAR_HEAD_BYTES_MAX);
    CLEANUP(tar_reader_done) struct tar_reader r;
    CLEANUP(tar_entry_done) struct tar_entry again = {.size = 0};
    enum tar_result result = TAR_MORE;

    tar_write_head(&b, e);
    property(b.len > 0 && b.len % TAR_BLOCK == 0);
    tar_reader_init(&r);
    for (size_t at = 0; at < b.len; at += TAR_BLOCK) {
        property(result == TAR_MORE);
        result = tar_read_block(&r, (const unsigned char *)b.data + at, &again);
    }
    property(result == TAR_ENTRY);
    property(again.type == e->type && again.mode == e->mode && again.size == e->size);
    property(strcmp(again.name, e->name) == 0 && str_eq(again.link, e->link));
    property(e->mtime_ns < 0 ||
             again.mtime_ns / NSEC_PER_SEC == MIN(e->mtime_ns / NSEC_PER_SEC, 8589934591));
}

/* A fitting checksum: nothing would get past it otherwise. */
static void seal(char *block)
{
    unsigned sum = 0;

    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)block[i];
    /* That of a block of zeros, which is no header. */
    if (sum == 8 * ' ')
        memset(block + 148, 0, 8);
    else
        snprintf(block + 148, 8, "%06o", sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(tar_reader_done) struct tar_reader r;
    enum tar_result result = TAR_MORE;

    tar_reader_init(&r);
    while (size >= TAR_BLOCK && (result == TAR_MORE || result == TAR_ENTRY)) {
        CLEANUP(tar_entry_done) struct tar_entry e = {.size = 0};
        /* A block of its own, so that a read past its end is seen. */
        cleanup_free char *block = xmemdup0(data, TAR_BLOCK);
        uint64_t skip;

        if (!r.meta_type)
            seal(block);
        result = tar_read_block(&r, (const unsigned char *)block, &e);
        data += TAR_BLOCK;
        size -= TAR_BLOCK;
        property(result != TAR_BAD || r.why[0]);
        if (result != TAR_ENTRY)
            continue;
        check_entry(&e);
        if (e.name[0])
            check_again(&e);
        skip = MIN(e.size + tar_padding(e.size), (uint64_t)size);
        data += skip;
        size -= (size_t)skip;
    }
    return 0;
}
