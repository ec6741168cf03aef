/* The journal and the check of signatures: what the sidecar believes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "sidecar/auth/auth.h"
#include "sidecar/disk/journal.h"
#include "sidecar/disk/spool.h"

#include "tests/unit/unit.h"

static char dir[] = "/tmp/arl-journal-XXXXXX";
static char *state_dir;

static void remove_all(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        cleanup_free char *name = xasprintf("%s/%s", path, e->d_name);

        if (e->d_name[0] == '.')
            continue;
        if (unlink(name) < 0)
            remove_all(name);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static int set_up(void **state)
{
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    state_dir = xasprintf("%s/state", dir);
    return 0;
}

static int tear_down(void **state)
{
    remove_all(dir);
    free(state_dir);
    return 0;
}

static struct journal *open_it(void)
{
    struct journal *j = NULL;
    struct err err;

    if (journal_open(state_dir, &j, &err) < 0)
        fail_msg("%s", err.msg);
    return j;
}

static void begin(struct journal *j, unsigned i)
{
    struct journal_key key = journal_key_of("task", i);
    unsigned char digest[JOURNAL_DIGEST_BYTES];

    journal_digest(&i, sizeof(i), digest);
    assert_int_equal(journal_start(j, &key, digest, NULL), 0);
}

static const struct journal_entry *look(struct journal *j, unsigned i)
{
    struct journal_key key = journal_key_of("task", i);

    return journal_find(j, &key);
}

static void test_starts(void **state)
{
    struct journal *j = open_it();
    struct journal_key two = journal_key_of("task", 2);
    unsigned one = 1;
    unsigned char digest[JOURNAL_DIGEST_BYTES];

    assert_null(look(j, 1));
    begin(j, 1);
    begin(j, 2);
    journal_forget(j, &two, false);
    journal_free(j);
    j = open_it();
    journal_digest(&one, sizeof(one), digest);
    assert_memory_equal(look(j, 1)->digest, digest, sizeof(digest));
    assert_false(look(j, 1)->forgotten);
    assert_true(look(j, 2)->forgotten);
    assert_null(look(j, 3));
    begin(j, 3);
    journal_free(j);
    j = open_it();
    assert_int_equal(journal_count(j), 3);
    journal_free(j);
}

/* More records than the file has room for at first. */
static void test_grows(void **state)
{
    struct journal *j = open_it();

    for (unsigned i = 1; i <= 1100; i++)
        begin(j, i);
    journal_free(j);
    j = open_it();
    assert_int_equal(journal_count(j), 1100);
    assert_non_null(look(j, 1100));
    journal_free(j);
}

/* As journal.c makes them. */
static void make_record(char ret[64], char type, const struct journal_key *key)
{
    static const unsigned char check_key[crypto_shorthash_KEYBYTES] = "arl journal";

    memset(ret, 0, 64);
    ret[0] = type;
    memcpy(ret + 16, key->bytes, JOURNAL_KEY_BYTES);
    crypto_shorthash((unsigned char *)ret + 8, (const unsigned char *)ret, 64, check_key);
}

/* Half as many records again as are remembered, so that old ones go. If each record were looked for
 * among all others, it would take a hundred times as long. */
static void test_many_are_read_at_once(void **state)
{
    enum { COUNT = JOURNAL_REMEMBERED * 3 / 2 };
    cleanup_free char *name = xasprintf("%s/started", state_dir);
    struct journal *j = open_it();
    char start[64], forget[64];
    struct timespec from, to;
    int fd;

    journal_free(j);
    fd = open(name, O_RDWR | O_CLOEXEC);
    for (unsigned i = 0; i < COUNT; i++) {
        struct journal_key key = journal_key_of("task", i);

        make_record(start, 1, &key);
        make_record(forget, 2, &key);
        assert_int_equal(pwrite(fd, start, 64, (off_t)i * 128), 64);
        assert_int_equal(pwrite(fd, forget, 64, (off_t)i * 128 + 64), 64);
    }
    close(fd);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    j = open_it();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    assert_true(to.tv_sec - from.tv_sec < 3);
    assert_in_range(journal_count(j), JOURNAL_REMEMBERED / 2, JOURNAL_REMEMBERED);
    assert_true(look(j, COUNT - 1)->forgotten);
    assert_non_null(look(j, COUNT - JOURNAL_REMEMBERED / 2));
    assert_null(look(j, 0));
    assert_null(look(j, COUNT));
    begin(j, COUNT);
    assert_non_null(look(j, COUNT));
    journal_free(j);
}

/* A file that has become too long is written anew, with the records that count. The test fills the
 * file itself: so many real starts take too long. */
static void test_compacts(void **state)
{
    cleanup_free char *name = xasprintf("%s/started", state_dir);
    struct journal_key one = journal_key_of("task", 1);
    cleanup_free char *text = NULL;
    struct journal *j = open_it();
    struct stat st;
    int fd;

    begin(j, 1);
    journal_forget(j, &one, false);
    begin(j, 2);
    journal_free(j);
    /* The record of task 2 again and again, as far as the limit. */
    text = xmalloc(JOURNAL_FILE_BYTES);
    fd = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, text, 192, 0), 192);
    for (size_t i = 192; i < JOURNAL_FILE_BYTES; i += 64)
        memcpy(text + i, text + 128, 64);
    assert_int_equal(pwrite(fd, text, JOURNAL_FILE_BYTES, 0), JOURNAL_FILE_BYTES);
    close(fd);
    j = open_it();
    begin(j, 3);
    journal_free(j);
    assert_int_equal(stat(name, &st), 0);
    assert_true(st.st_size < 100000);
    j = open_it();
    assert_int_equal(journal_count(j), 3);
    assert_true(look(j, 1)->forgotten);
    assert_false(look(j, 2)->forgotten);
    assert_non_null(look(j, 3));
    journal_free(j);
}

/* A record in the middle is damaged. It must not be taken for the last record, half written: all
 * that has begun since would be forgotten, and begin again. */
static void test_damage_in_the_middle(void **state)
{
    cleanup_free char *name = xasprintf("%s/started", state_dir);
    struct journal *j = open_it();
    struct err err = {0};
    int fd;

    for (unsigned i = 1; i <= 3; i++)
        begin(j, i);
    journal_free(j);
    fd = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 64 + 20), 1);
    close(fd);
    assert_int_equal(journal_open(state_dir, &j, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "started is damaged at byte 64: "));
}

/* The last record is half written, to any length, or has any wrong byte. Only this record is not
 * believed, and the next one takes its place. */
static void test_torn(void **state)
{
    cleanup_free char *name = xasprintf("%s/started", state_dir);
    struct journal *j = open_it();
    char zeroes[64] = {0}, record[64];
    int fd;

    begin(j, 1);
    begin(j, 2);
    journal_free(j);
    fd = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, record, 64, 64), 64);
    for (int i = 0; i < 64; i++) {
        char bad[64];

        memcpy(bad, zeroes, 64);
        memcpy(bad, record, (size_t)i);
        assert_int_equal(pwrite(fd, bad, 64, 64), 64);
        j = open_it();
        assert_int_equal(journal_count(j), 1);
        journal_free(j);
        memcpy(bad, record, 64);
        bad[i] ^= 1;
        assert_int_equal(pwrite(fd, bad, 64, 64), 64);
        j = open_it();
        assert_int_equal(journal_count(j), 1);
        journal_free(j);
    }
    j = open_it();
    begin(j, 3);
    journal_free(j);
    j = open_it();
    assert_null(look(j, 2));
    assert_non_null(look(j, 3));
    journal_free(j);
    close(fd);
}

static void test_events(void **state)
{
    cleanup_buf struct buf text = BUF_INIT(1000);
    struct journal_key key = journal_key_of("task", 1);
    struct journal *j = open_it();

    begin(j, 1);
    journal_events_read(j, &key, &text);
    assert_int_equal(text.len, 0);
    assert_int_equal(journal_events_append(j, &key, "a\n", 2), 0);
    assert_int_equal(journal_events_append(j, &key, "b", 1), 0);
    journal_events_read(j, &key, &text);
    assert_string_equal(buf_str(&text), "a\nb");
    journal_forget(j, &key, true);
    buf_clear(&text);
    journal_events_read(j, &key, &text);
    assert_int_equal(text.len, 0);
    journal_free(j);
}

static void test_sandbox_and_tokens(void **state)
{
    unsigned char token[JOURNAL_TOKEN_BYTES] = {1, 2, 3}, got[JOURNAL_TOKEN_BYTES];
    struct journal *j = open_it();

    assert_null(journal_sandbox(j));
    assert_int_equal(journal_set_sandbox(j, "uid-1", NULL), 0);
    assert_int_equal(journal_token(j, "c", got, NULL), 0);
    assert_int_equal(journal_set_token(j, "c", token, NULL), 0);
    journal_free(j);
    j = open_it();
    assert_string_equal(journal_sandbox(j), "uid-1");
    assert_int_equal(journal_token(j, "c", got, NULL), 1);
    assert_memory_equal(got, token, sizeof(token));
    token[0] = 7;
    assert_int_equal(journal_set_token(j, "c", token, NULL), 0);
    assert_int_equal(journal_token(j, "c", got, NULL), 1);
    assert_memory_equal(got, token, sizeof(token));
    assert_int_equal(journal_token(j, "d", got, NULL), 0);
    journal_free(j);
}

static void test_no_folder(void **state)
{
    struct journal *j = NULL;
    struct err err;

    assert_int_equal(journal_open("/nosuch/folder", &j, &err), -ENOENT);
    assert_string_equal(err.msg, "make /nosuch/folder: No such file or directory");
}

/* A key is made of the pair, not of the two texts in a row. */
static void test_keys(void **state)
{
    struct journal_key a = journal_key_of("t-1", 12), b = journal_key_of("t-11", 2);

    assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
}

/* ---- signatures ------------------------------------------------------------------------------ */

static struct signature_key key;

static int check(struct auth *a, const char *pod, int64_t created_s, int64_t now_s, unsigned number)
{
    struct signature_input in = {"PUT", "/p", "", pod, "sandbox", "key", "", 0};
    unsigned char nonce[SIGNATURE_NONCE_BYTES] = {0};
    struct signature_proof proof;
    struct signature_headers h;

    memcpy(nonce, &number, sizeof(number));
    assert_int_equal(signature_sign(&key, &in, created_s, nonce, &h, NULL), 0);
    return auth_check_head(a, &in, &h, now_s, &proof, NULL);
}

static void auth_set_up(struct auth *a)
{
    struct signature_keyring ring = {.count = 1};
    char text[256];

    assert_int_equal(signature_init(), 0);
    signature_key_generate(&key);
    signature_key_public(&key, &ring.keys[0]);
    signature_keyring_format(&ring, text, sizeof(text));
    assert_int_equal(auth_init(a, "pod", text, NULL), 0);
}

#define W SIGNATURE_WINDOW_S

static void test_replay(void **state)
{
    CLEANUP(auth_done) struct auth a;

    auth_set_up(&a);
    assert_int_equal(check(&a, "other", 1000, 1000, 1), -EACCES);
    assert_int_equal(check(&a, "pod", 1000, 1000, 1), 0);
    assert_int_equal(check(&a, "pod", 1000, 1000, 1), -EACCES);
    assert_int_equal(check(&a, "pod", 1000, 1000 + W, 1), -EACCES);
    for (unsigned i = 2; i < 100; i++)
        assert_int_equal(check(&a, "pod", 1000 + W, 1000 + W, i), 0);
    for (unsigned i = 2; i < 100; i++)
        assert_int_equal(check(&a, "pod", 1000 + W, 1000 + W, i), -EACCES);
    assert_int_equal(a.count, 99);
    assert_int_equal(check(&a, "pod", 1001 + W, 1001 + W, 100), 0);
    assert_int_equal(a.count, 99);
    assert_int_equal(check(&a, "pod", 5000, 5000, 1), 0);
    assert_int_equal(a.count, 1);
}

/* Clocks may be five minutes apart, either way, and two operators may differ from each other. */
static void test_skew(void **state)
{
    CLEANUP(auth_done) struct auth a;

    auth_set_up(&a);
    for (int64_t now_s = 10000; now_s < 10000 + 3 * W; now_s += 10) {
        assert_int_equal(check(&a, "pod", now_s + 300, now_s, (unsigned)now_s), 0);
        assert_int_equal(check(&a, "pod", now_s - 300, now_s, (unsigned)now_s + 1), 0);
        assert_int_equal(check(&a, "pod", now_s + 301, now_s, 1), -EACCES);
        assert_int_equal(check(&a, "pod", now_s - 301, now_s, 1), -EACCES);
    }
}

/* A nonce that was forgotten is not new when the clock goes back. */
static void test_clock_back(void **state)
{
    CLEANUP(auth_done) struct auth a;

    auth_set_up(&a);
    assert_int_equal(check(&a, "pod", 1000, 1000, 1), 0);
    assert_int_equal(check(&a, "pod", 9000, 9000, 2), 0);
    assert_int_equal(a.count, 1);
    assert_int_equal(check(&a, "pod", 1000, 1000, 1), -EACCES);
    assert_int_equal(check(&a, "pod", 1001, 1001, 3), 0);
}

/* The table is filled by hand: sixteen thousand signatures take too long. */
static void test_full(void **state)
{
    CLEANUP(auth_done) struct auth a;

    auth_set_up(&a);
    a.nonces = xcalloc(LIMIT_NONCES, sizeof(*a.nonces));
    a.alloc = a.count = LIMIT_NONCES;
    for (size_t i = 0; i < a.count; i++)
        a.nonces[i].created = 2000 + (int64_t)(i + 7) % LIMIT_NONCES / 100;
    assert_int_equal(check(&a, "pod", 2100, 2200, 1), 0);
    assert_int_equal(a.count, LIMIT_NONCES);
    assert_int_equal(a.floor, 2000);
    assert_int_equal(check(&a, "pod", 2000, 2200, 2), -EACCES);
    assert_int_equal(check(&a, "pod", 2001, 2200, 3), 0);
    assert_int_equal(check(&a, "pod", 2100, 2200, 1), -EACCES);
    assert_int_equal(a.count, LIMIT_NONCES);
}

static void test_settings(void **state)
{
    struct auth a;
    struct err err;

    assert_int_equal(auth_init(&a, "", "k=x", &err), -EINVAL);
    assert_string_equal(err.msg, "ARL_POD_UID is not set");
    assert_int_equal(auth_init(&a, "pod", NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "ARL_PUBLIC_KEYS is not set");
    assert_int_equal(auth_init(&a, "pod", "k", &err), -EINVAL);
    assert_non_null(strstr(err.msg, "ARL_PUBLIC_KEYS: "));
}

/* ---- the spool ------------------------------------------------------------------------------- */

static struct spool *open_spool(void)
{
    struct spool *s = NULL;
    struct err err;

    if (spool_open(dir, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static off_t size_of(const char *name)
{
    cleanup_free char *path = xasprintf("%s/output/%s", dir, name);
    struct stat st;

    return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void fill(struct spool_file *f, size_t len)
{
    cleanup_free char *data = xcalloc(1, 1 << 20);

    for (size_t n; len > 0; len -= n) {
        n = MIN(len, (size_t)1 << 20);
        spool_write(f, data, n);
    }
}

/* Each file has a limit, and all of them together. The oldest file goes, but none that is being
 * written. */
static void test_spool_limits(void **state)
{
    struct spool *s = open_spool();
    struct spool_file *a = spool_begin(s, "a"), *b, *c;

    fill(a, SPOOL_FILE_BYTES + 5);
    assert_int_equal(size_of("a"), SPOOL_FILE_BYTES);
    b = spool_begin(s, "b");
    fill(b, SPOOL_FILE_BYTES);
    c = spool_begin(s, "c");
    fill(c, 10);
    assert_int_equal(size_of("c"), 0);
    spool_end(a);
    spool_end(c);
    c = spool_begin(s, "d");
    fill(c, 10);
    assert_int_equal(size_of("a"), -1);
    assert_int_equal(size_of("b"), SPOOL_FILE_BYTES);
    assert_int_equal(size_of("d"), 10);
    spool_end(b);
    spool_end(c);
    spool_free(s);
}

static void test_spool_count(void **state)
{
    struct spool *s = open_spool();

    for (int i = 0; i <= SPOOL_FILES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%d", i);
        spool_end(spool_begin(s, name));
    }
    assert_int_equal(size_of("f0"), -1);
    assert_int_equal(size_of("f1"), 0);
    spool_free(s);
}

/* The next sidecar counts what is there, oldest first. */
static void test_spool_restart(void **state)
{
    static const char *const names[] = {"z", "m", "a"};
    struct spool *s = open_spool();
    struct spool_file *f;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *path = xasprintf("%s/output/%s", dir, names[i]);
        struct timespec times[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};

        f = spool_begin(s, names[i]);
        fill(f, 20 << 20);
        spool_end(f);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    spool_free(s);
    s = open_spool();
    f = spool_begin(s, "new");
    fill(f, 5 << 20);
    assert_int_equal(size_of("z"), -1);
    assert_int_equal(size_of("m"), 20 << 20);
    assert_int_equal(size_of("new"), 5 << 20);
    spool_end(f);
    spool_free(s);
}

/* A file that somebody has open takes no room on the disk once it was removed. */
static void test_spool_gone_is_empty(void **state)
{
    cleanup_free char *path = xasprintf("%s/output/a", dir);
    struct spool *s = open_spool();
    struct spool_file *a = spool_begin(s, "a"), *b;
    struct stat st;
    int fd;

    fill(a, SPOOL_FILE_BYTES);
    spool_close(a);
    fill(a, 1);
    fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, SPOOL_FILE_BYTES);
    b = spool_begin(s, "b");
    fill(b, SPOOL_FILE_BYTES);
    spool_remove(a);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    close(fd);
    assert_int_equal(size_of("a"), -1);
    a = spool_begin(s, "c");
    fill(a, SPOOL_FILE_BYTES);
    assert_int_equal(size_of("c"), SPOOL_FILE_BYTES);
    spool_remove(b);
    spool_remove(a);
    spool_remove(NULL);
    spool_free(s);
}

/* No file is removed for a spare file, neither for its bytes nor for its place. A spare file that
 * has lost bytes is not kept. */
static void test_spool_spare(void **state)
{
    struct spool *s = open_spool();
    struct spool_file *f = spool_begin_spare(s, "kept");

    fill(f, 10);
    assert_true(spool_keep(f));
    spool_end(f);
    for (int i = 0; i < 2; i++) {
        f = spool_begin(s, i == 0 ? "a" : "b");
        fill(f, SPOOL_FILE_BYTES - (i == 0 ? 10 : 0));
        spool_end(f);
    }
    f = spool_begin_spare(s, "spare");
    fill(f, SPOOL_SPARE_BYTES);
    fill(f, 1);
    assert_int_equal(size_of("spare"), SPOOL_SPARE_BYTES);
    assert_int_equal(size_of("kept"), 10);
    assert_false(spool_keep(f));
    spool_remove(f);
    f = spool_begin_spare(s, "spare");
    assert_true(spool_keep(f));
    fill(f, SPOOL_SPARE_BYTES);
    assert_int_equal(size_of("kept"), -1);
    assert_int_equal(size_of("a"), -1);
    spool_end(f);
    spool_free(s);
}

/* The number of files is limited as their bytes are. */
static void test_spool_spare_count(void **state)
{
    struct spool *s = open_spool();

    for (int i = 0; i < SPOOL_FILES + SPOOL_SPARE_FILES; i++) {
        cleanup_free char *name = xasprintf("f%d", i);
        struct spool_file *f = i < SPOOL_FILES ? spool_begin(s, name) : spool_begin_spare(s, name);

        assert_non_null(f);
        spool_end(f);
    }
    assert_null(spool_begin_spare(s, "more"));
    assert_int_equal(size_of("f0"), 0);
    spool_free(s);
}

/* A file that is removed loses its name before it is emptied. */
static void test_spool_goes_by_name_first(void **state)
{
    cleanup_free char *path = xasprintf("%s/output/a", dir);
    struct spool *s = open_spool();
    struct spool_file *f = spool_begin(s, "a");
    int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    struct inotify_event ev;

    fill(f, 10);
    assert_true(inotify_add_watch(changes, path, IN_MODIFY | IN_ATTRIB) >= 0);
    spool_remove(f);
    assert_int_equal(read(changes, &ev, sizeof(ev)), sizeof(ev));
    assert_int_equal(ev.mask, IN_ATTRIB);
    assert_int_equal(read(changes, &ev, sizeof(ev)), sizeof(ev));
    assert_int_equal(ev.mask, IN_MODIFY);
    close(changes);
    spool_free(s);
}

/* The file is removed when the reader has opened it: the lease holds the reader up there. */
static void test_spool_cat_of_one_that_goes(void **state)
{
    cleanup_free char *path = xasprintf("%s/output/a", dir);
    struct timespec limit = {.tv_sec = 20};
    struct spool *s = open_spool();
    struct spool_file *f = spool_begin(s, "a");
    sigset_t io;
    pid_t child;
    int fd, status;

    spool_end(f);
    sigemptyset(&io);
    sigaddset(&io, SIGIO);
    sigprocmask(SIG_BLOCK, &io, NULL);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
    child = fork();
    if (child == 0) {
        struct err err;

        _exit(spool_cat(dir, "a", &err) == -ESTALE ? 7 : 8);
    }
    assert_int_equal(sigtimedwait(&io, NULL, &limit), SIGIO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    close(fd);
    sigprocmask(SIG_UNBLOCK, &io, NULL);
    spool_free(s);
}

/* Files that were for followers alone do not outlive their sidecar. */
static void test_spool_followed(void **state)
{
    struct spool *s = open_spool();

    fill(spool_begin(s, SPOOL_FOLLOWED "1.1"), 10);
    fill(spool_begin(s, "x.1.0.1"), 10);
    spool_free(s);
    assert_int_equal(size_of(SPOOL_FOLLOWED "1.1"), 10);
    s = open_spool();
    assert_int_equal(size_of(SPOOL_FOLLOWED "1.1"), -1);
    assert_int_equal(size_of("x.1.0.1"), 10);
    spool_free(s);
}

static void test_spool_cat_stays_inside(void **state)
{
    static const char *const paths[] = {"",    ".",    "..",  "../x", "/etc/passwd",
                                        "a/b", "link", "none"};
    cleanup_free char *link = xasprintf("%s/output/link", dir);
    struct spool *s = open_spool();
    struct err err;

    assert_int_equal(symlink("/etc/passwd", link), 0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        assert_true(spool_cat(dir, paths[i], &err) < 0);
    spool_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_starts),
        TEST(test_grows),
        TEST(test_many_are_read_at_once),
        TEST(test_compacts),
        TEST(test_damage_in_the_middle),
        TEST(test_torn),
        TEST(test_events),
        TEST(test_sandbox_and_tokens),
        TEST(test_spool_limits),
        TEST(test_spool_count),
        TEST(test_spool_restart),
        TEST(test_spool_gone_is_empty),
        TEST(test_spool_spare),
        TEST(test_spool_spare_count),
        TEST(test_spool_goes_by_name_first),
        TEST(test_spool_cat_of_one_that_goes),
        TEST(test_spool_followed),
        TEST(test_spool_cat_stays_inside),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_skew),
        cmocka_unit_test(test_clock_back),
        cmocka_unit_test(test_settings),
    };

    if (signature_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
