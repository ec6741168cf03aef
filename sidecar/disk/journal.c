#include "sidecar/disk/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/write_all.h"

/* Grown by so much at once. */
#define STARTED_STEP_BYTES (64u << 10)
#define SMALL_FILE_MAX 256
#define KEY_NAME_MAX (sizeof("events/") + 2 * JOURNAL_KEY_BYTES)
#define CHECK_BYTES crypto_shorthash_BYTES

enum record_type { RECORD_NONE, RECORD_START, RECORD_FORGET };

struct record {
    unsigned char type;
    unsigned char zero[7];
    unsigned char check[CHECK_BYTES]; /* of the record with this field as zeroes */
    unsigned char key[JOURNAL_KEY_BYTES];
    unsigned char digest[JOURNAL_DIGEST_BYTES];
};
_Static_assert(sizeof(struct record) == 64, "records do not cross a block");

/*
 * The file "started":
 *
 *   0            64           128                end                  size
 *   ├────────────┼────────────┼──  ...  ──┼───────┼──────────  ...  ───┤
 *   │ START key1 │ START key2 │           │ FORGET│  zeroes, or a record that was torn
 *   └────────────┴────────────┴──  ...  ──┴───────┴──────────  ...  ───┘
 *
 * A record counts once it is whole. What is left of a torn one is written over by the next. Behind
 * a torn record there can be FORGETs, which do no harm, but no START: each START is on the disk,
 * with all before it, before the next record is written.
 */
struct journal {
    int dir_fd;
    int fd;
    off_t end;  /* where the next record goes: a multiple of a record, at most size */
    off_t size; /* of the file, as far as it is whole records */
    struct journal_entry *entries; /* in the order of their starts */
    size_t count;
    size_t alloc;    /* a power of two, or 0 */
    uint32_t *slots; /* 1 + the place of an entry, by its key; twice as many as there is room for */
    char *sandbox;
};

struct journal_key journal_key_of(const char *task_uid, unsigned attempt)
{
    cleanup_free char *text = xasprintf("%s/%u", task_uid, attempt);
    struct journal_key key;

    crypto_generichash(key.bytes, sizeof(key.bytes), (const unsigned char *)text, strlen(text),
                       NULL, 0);
    return key;
}

void journal_digest(const void *body, size_t len, unsigned char ret[JOURNAL_DIGEST_BYTES])
{
    crypto_generichash(ret, JOURNAL_DIGEST_BYTES, body, len, NULL, 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Replaces a small file; sync: on the disk when this returns. */
static int put_file(struct journal *j, const char *name, const void *data, size_t len, bool sync,
                    struct err *err)
{
    cleanup_free char *temp = xasprintf("%s.new", name);
    cleanup_fd int fd = openat(j->dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return err_errno(err, errno, "write %s", name);
    r = write_all(fd, data, len);
    if (r == 0 && sync && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(j->dir_fd, temp, j->dir_fd, name) < 0)
        r = -errno;
    if (r == 0 && sync && fsync(j->dir_fd) < 0)
        r = -errno;
    return r < 0 ? err_errno(err, -r, "write %s", name) : 0;
}

static int get_file(const struct journal *j, const char *name, struct buf *ret)
{
    cleanup_fd int fd = openat(j->dir_fd, name, O_RDONLY | O_CLOEXEC);
    char data[4096];
    ssize_t n;
    int r = 0;

    if (fd < 0)
        return -errno;
    do {
        n = read(fd, data, sizeof(data));
        if (n > 0)
            r = buf_append(ret, data, (size_t)n);
        else if (n < 0 && errno != EINTR)
            r = -errno;
    } while (r == 0 && n != 0);
    return r;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* The slot of that key, or the free one where it belongs. Keys are hashes already. */
static uint32_t *slot_of(const struct journal *j, const unsigned char *key)
{
    size_t mask = 2 * j->alloc - 1;
    uint64_t hash;
    size_t i;

    memcpy(&hash, key, sizeof(hash));
    assert(j->count <= j->alloc); /* half of the slots are free: the search ends */
    for (i = hash & mask; j->slots[i]; i = (i + 1) & mask)
        if (memcmp(j->entries[j->slots[i] - 1].key.bytes, key, JOURNAL_KEY_BYTES) == 0)
            break;
    return &j->slots[i];
}

static struct journal_entry *find(const struct journal *j, const unsigned char *key)
{
    uint32_t place = j->count > 0 ? *slot_of(j, key) : 0;

    return place ? &j->entries[place - 1] : NULL;
}

/* After entries have moved, or there is room for more of them. */
static void index_all(struct journal *j)
{
    free(j->slots);
    j->slots = xcalloc(2 * j->alloc, sizeof(*j->slots));
    for (size_t i = 0; i < j->count; i++)
        *slot_of(j, j->entries[i].key.bytes) = (uint32_t)i + 1;
}

const struct journal_entry *journal_find(const struct journal *j, const struct journal_key *key)
{
    return find(j, key->bytes);
}

size_t journal_count(const struct journal *j)
{
    return j->count;
}

const struct journal_entry *journal_at(const struct journal *j, size_t i)
{
    assert(i < j->count);
    return &j->entries[i];
}

/* Makes room by dropping the oldest half of those that are remembered only. */
static void drop_old(struct journal *j)
{
    size_t kept = 0, drop = j->count / 2;

    for (size_t i = 0; i < j->count; i++) {
        if (j->entries[i].forgotten && drop > 0)
            drop--;
        else
            j->entries[kept++] = j->entries[i];
    }
    j->count = kept;
    index_all(j);
}

static void add_entry(struct journal *j, const unsigned char *key, const unsigned char *digest)
{
    struct journal_entry *e;

    if (j->count >= JOURNAL_REMEMBERED)
        drop_old(j);
    if (j->count == j->alloc) {
        j->alloc = j->alloc ? 2 * j->alloc : 16;
        j->entries = xrealloc(j->entries, j->alloc * sizeof(*j->entries));
        index_all(j);
    }
    assert(j->count < j->alloc);
    e = &j->entries[j->count];
    *e = (struct journal_entry){0};
    memcpy(e->key.bytes, key, JOURNAL_KEY_BYTES);
    memcpy(e->digest, digest, JOURNAL_DIGEST_BYTES);
    *slot_of(j, key) = (uint32_t)++j->count;
}

/* ---- records --------------------------------------------------------------------------------- */

/* It detects torn writes. It need not detect attacks, since nobody else writes here. */
static void record_check(const struct record *rec, unsigned char ret[CHECK_BYTES])
{
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "arl journal";
    struct record copy = *rec;

    memset(copy.check, 0, sizeof(copy.check));
    crypto_shorthash(ret, (const unsigned char *)&copy, sizeof(copy), key);
}

static bool is_whole(const struct record *rec)
{
    unsigned char check[CHECK_BYTES];

    record_check(rec, check);
    return rec->type != RECORD_NONE && memcmp(check, rec->check, sizeof(check)) == 0;
}

static void record_make(struct record *rec, enum record_type type, const unsigned char *key,
                        const unsigned char *digest)
{
    *rec = (struct record){.type = (unsigned char)type};
    memcpy(rec->key, key, sizeof(rec->key));
    if (digest)
        memcpy(rec->digest, digest, sizeof(rec->digest));
    record_check(rec, rec->check);
}

static int extend(struct journal *j)
{
    cleanup_free char *zeroes = xcalloc(1, STARTED_STEP_BYTES);
    int r = write_all_at(j->fd, zeroes, STARTED_STEP_BYTES, j->size);

    if (r < 0)
        return r;
    /* All blocks are allocated on the disk before one is used, so a start writes only data. */
    if (fsync(j->fd) < 0)
        return -errno;
    j->size += STARTED_STEP_BYTES;
    return 0;
}

static int write_entries(const struct journal *j, int fd, off_t *ret_end)
{
    struct record rec;
    off_t end = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < j->count; i++) {
        const struct journal_entry *e = &j->entries[i];

        for (int type = RECORD_START; r == 0 && type <= RECORD_START + e->forgotten; type++) {
            record_make(&rec, (enum record_type)type, e->key.bytes, e->digest);
            r = write_all_at(fd, &rec, sizeof(rec), end);
            end += (off_t)sizeof(rec);
        }
    }
    *ret_end = end;
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* Writes all records into a new file, which replaces the old one. */
static int compact(struct journal *j)
{
    int fd = openat(j->dir_fd, "started.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t end;
    int r;

    if (fd < 0)
        return -errno;
    r = write_entries(j, fd, &end);
    if (r == 0 && renameat(j->dir_fd, "started.new", j->dir_fd, "started") < 0)
        r = -errno;
    /* If this fails the next record comes here again, since the old file is as long as before. */
    if (r == 0 && fsync(j->dir_fd) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    close(j->fd);
    j->fd = fd;
    j->size = j->end = end;
    return 0;
}

static int append(struct journal *j, const struct record *rec, bool sync)
{
    int r = j->end >= (off_t)JOURNAL_FILE_BYTES ? compact(j) : 0;

    assert(j->end % (off_t)sizeof(*rec) == 0 && j->end <= j->size);
    if (r == 0 && j->end + (off_t)sizeof(*rec) > j->size)
        r = extend(j);
    if (r == 0)
        r = write_all_at(j->fd, rec, sizeof(*rec), j->end);
    if (r == 0 && sync && fdatasync(j->fd) < 0)
        r = -errno;
    if (r == 0)
        j->end += (off_t)sizeof(*rec);
    return r;
}

static void replay(struct journal *j, const struct record *rec)
{
    struct journal_entry *e = find(j, rec->key);

    if (rec->type == RECORD_START && !e)
        add_entry(j, rec->key, rec->digest);
    else if (rec->type == RECORD_FORGET && e)
        e->forgotten = true;
}

static int read_at(int fd, void *data, size_t len, off_t at, size_t *ret_len)
{
    ssize_t n;

    *ret_len = 0;
    do {
        n = pread(fd, (char *)data + *ret_len, len - *ret_len, at + (off_t)*ret_len);
        if (n < 0 && errno != EINTR)
            return -errno;
        *ret_len += (size_t)MAX(n, 0);
    } while (n != 0 && *ret_len < len);
    return 0;
}

/* Reads up to the first invalid record: a start whose write was torn has not begun. A file that
 * cannot be read is an error, because a start that is forgotten would begin once more. */
static int load_records(struct journal *j)
{
    struct record rec;
    size_t n;
    int r;

    while ((r = read_at(j->fd, &rec, sizeof(rec), j->end, &n)) == 0 && n == sizeof(rec)) {
        if (!is_whole(&rec))
            break;
        replay(j, &rec);
        j->end += (off_t)sizeof(rec);
    }
    return r;
}

/* No START can be behind the first invalid record. If one is there, the file was damaged, and what
 * else has begun is not known: -EBADMSG. */
static int check_rest(const struct journal *j)
{
    struct record recs[64];
    size_t n = sizeof(recs);

    for (off_t at = j->end; n == sizeof(recs); at += (off_t)sizeof(recs)) {
        int r = read_at(j->fd, recs, sizeof(recs), at, &n);

        if (r < 0)
            return r;
        for (size_t i = 0; i < n / sizeof(recs[0]); i++)
            if (recs[i].type == RECORD_START && is_whole(&recs[i]))
                return -EBADMSG;
    }
    return 0;
}

int journal_start(struct journal *j, const struct journal_key *key,
                  const unsigned char digest[JOURNAL_DIGEST_BYTES], struct err *err)
{
    struct record rec;
    int r;

    assert(!find(j, key->bytes));
    record_make(&rec, RECORD_START, key->bytes, digest);
    r = append(j, &rec, true);
    if (r < 0)
        return err_errno(err, -r, "write the journal");
    add_entry(j, key->bytes, digest);
    return 0;
}

static void events_name(const unsigned char *key, char ret[KEY_NAME_MAX])
{
    memcpy(ret, "events/", 7);
    sodium_bin2hex(ret + 7, KEY_NAME_MAX - 7, key, JOURNAL_KEY_BYTES);
}

void journal_forget(struct journal *j, const struct journal_key *key, bool has_events)
{
    struct journal_entry *e = find(j, key->bytes);
    char name[KEY_NAME_MAX];
    struct record rec;

    if (!e || e->forgotten)
        return;
    e->forgotten = true;
    record_make(&rec, RECORD_FORGET, key->bytes, NULL);
    /* If it can not be written, the result will be there again after a restart: no harm. */
    if (append(j, &rec, false) < 0 || !has_events)
        return;
    events_name(key->bytes, name);
    unlinkat(j->dir_fd, name, 0);
}

/* ---- events ---------------------------------------------------------------------------------- */

int journal_events_append(struct journal *j, const struct journal_key *key, const char *lines,
                          size_t len)
{
    char name[KEY_NAME_MAX];
    cleanup_fd int fd = -1;
    ssize_t n;

    events_name(key->bytes, name);
    fd = openat(j->dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    n = write(fd, lines, len);
    return n < 0 ? -errno : (size_t)n < len ? -ENOSPC : 0;
}

void journal_events_read(struct journal *j, const struct journal_key *key, struct buf *ret)
{
    char name[KEY_NAME_MAX];

    events_name(key->bytes, name);
    get_file(j, name, ret);
}

/* ---- sandbox and tokens ---------------------------------------------------------------------- */

const char *journal_sandbox(const struct journal *j)
{
    return j->sandbox;
}

int journal_set_sandbox(struct journal *j, const char *uid, struct err *err)
{
    int r = put_file(j, "sandbox", uid, strlen(uid), true, err);

    if (r == 0)
        str_set(&j->sandbox, xstrdup(uid));
    return r;
}

int journal_token(struct journal *j, const char *container, unsigned char ret[JOURNAL_TOKEN_BYTES],
                  struct err *err)
{
    cleanup_free char *name = xasprintf(JOURNAL_TOKEN_PREFIX "%s", container);
    cleanup_buf struct buf b = BUF_INIT(SMALL_FILE_MAX);
    int r = get_file(j, name, &b);

    if (r < 0 && r != -ENOENT)
        return err_errno(err, -r, "read %s", name);
    if (b.len != JOURNAL_TOKEN_BYTES)
        return 0;
    memcpy(ret, b.data, JOURNAL_TOKEN_BYTES);
    return 1;
}

int journal_set_token(struct journal *j, const char *container, const unsigned char *token,
                      struct err *err)
{
    cleanup_free char *name = xasprintf(JOURNAL_TOKEN_PREFIX "%s", container);

    return put_file(j, name, token, JOURNAL_TOKEN_BYTES, false, err);
}

/* ---- open ------------------------------------------------------------------------------------ */

static int open_started(struct journal *j, const char *dir, struct err *err)
{
    struct stat st;
    int r;

    j->fd = openat(j->dir_fd, "started", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->fd < 0 || fstat(j->fd, &st) < 0)
        return err_errno(err, errno, "open %s/started", dir);
    j->size = st.st_size / (off_t)sizeof(struct record) * (off_t)sizeof(struct record);
    r = load_records(j);
    if (r == 0)
        r = check_rest(j);
    if (r == -EBADMSG)
        return err_set(err, r,
                       "%s/started is damaged at byte %lld: it is not known which steps have begun "
                       "in this pod, so none is run",
                       dir, (long long)j->end);
    if (r < 0)
        return err_errno(err, -r, "read %s/started", dir);
    if (j->size > 0)
        return 0;
    r = extend(j);
    if (r == 0 && fsync(j->dir_fd) < 0)
        r = -errno;
    return r < 0 ? err_errno(err, -r, "write %s/started", dir) : 0;
}

static int open_all(struct journal *j, const char *dir, struct err *err)
{
    cleanup_buf struct buf sandbox = BUF_INIT(SMALL_FILE_MAX);
    int r;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make %s", dir);
    j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir_fd < 0)
        return err_errno(err, errno, "open %s", dir);
    if (mkdirat(j->dir_fd, "events", 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make %s/events", dir);
    r = open_started(j, dir, err);
    if (r < 0)
        return r;
    r = get_file(j, "sandbox", &sandbox);
    /* Not to know it would mean to serve any other one. */
    if (r < 0 && r != -ENOENT)
        return err_errno(err, -r, "read %s/sandbox", dir);
    if (sandbox.len > 0)
        j->sandbox = buf_steal(&sandbox);
    return 0;
}

int journal_open(const char *dir, struct journal **ret, struct err *err)
{
    struct journal *j = xcalloc(1, sizeof(*j));
    int r;

    j->dir_fd = j->fd = -1;
    r = open_all(j, dir, err);
    if (r < 0) {
        journal_free(j);
        return r;
    }
    *ret = j;
    return 0;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    if (j->dir_fd >= 0)
        close(j->dir_fd);
    free(j->entries);
    free(j->slots);
    free(j->sandbox);
    free(j);
}
