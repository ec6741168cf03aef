#include "sidecar/runner/tar.h"

#include <stdarg.h>
#include <stdio.h>

/* The header's fields. */
struct header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6]; /* "ustar" and NUL; GNU tar: a space */
    char version[2];
    char uname[32];
    char gname[32];
    char dev[16];
    char prefix[155];
    char rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is a block");

#define OCTAL_7 07777777u        /* mode, uid, gid */
#define OCTAL_11 077777777777ull /* size, mtime */
#define CHECKSUM_AT offsetof(struct header, checksum)

void tar_entry_done(struct tar_entry *e)
{
    free(e->name);
    free(e->link);
    *e = (struct tar_entry){0};
}

size_t tar_padding(uint64_t size)
{
    return (size_t)(-size % TAR_BLOCK);
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* GNU tar writes a number that has no room in octal as a binary one behind a first byte of 0x80. */
static bool parse_binary(const unsigned char *p, size_t len, uint64_t *ret)
{
    uint64_t v = p[0] & 0x7f;

    for (size_t i = 1; i < len; i++) {
        if (v >> 55)
            return false;
        v = v << 8 | p[i];
    }
    *ret = v;
    return true;
}

/* Octal digits, with spaces before and a space or NUL behind them; nothing at all is 0. */
static bool parse_field(const char *field, size_t len, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;

    if (field[0] & 0x80)
        return parse_binary((const unsigned char *)field, len, ret);
    while (i < len && field[i] == ' ')
        i++;
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(field[i] - '0');
    *ret = v;
    return i == len || field[i] == ' ' || field[i] == '\0';
}

static bool checksum_fits(const struct header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    uint64_t want, sum = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= CHECKSUM_AT && i < CHECKSUM_AT + sizeof(h->checksum) ? ' ' : p[i];
    return parse_field(h->checksum, sizeof(h->checksum), &want) && want == sum;
}

static bool is_zero(const unsigned char *p)
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (p[i])
            return false;
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Without "." and empty components; NULL: absolute, too long, or with ".." that are more than `up`
 * at the beginning. */
static char *clean(const char *text, size_t up)
{
    cleanup_buf struct buf b = BUF_INIT(PATH_MAX - 1);
    bool names = false;

    if (text[0] == '/')
        return NULL;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "/");
        bool dots = n == 2 && memcmp(p, "..", 2) == 0;

        if (dots && (names || up-- == 0))
            return NULL;
        if (n > 0 && !(n == 1 && *p == '.')) {
            names = names || !dots;
            if (n > NAME_MAX || (b.len && buf_putc(&b, '/') < 0) || buf_append(&b, p, n) < 0)
                return NULL;
        }
        p += n + (p[n] == '/');
    }
    return b.len ? buf_steal(&b) : xstrdup("");
}

static size_t depth_of(const char *name)
{
    size_t n = 0;

    for (; *name; name++)
        n += *name == '/';
    return n;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum tar_result bad(struct tar_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static enum tar_result bad(struct tar_reader *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(r->why, sizeof(r->why), fmt, args);
    va_end(args);
    return TAR_BAD;
}

void tar_reader_init(struct tar_reader *r)
{
    *r = (struct tar_reader){.meta = BUF_INIT(TAR_META_BYTES_MAX + TAR_BLOCK)};
}

/* What was said of one entry. */
static void forget(struct tar_reader *r)
{
    str_set(&r->path, NULL);
    str_set(&r->link, NULL);
    r->has_size = r->has_mtime = false;
}

void tar_reader_done(struct tar_reader *r)
{
    buf_done(&r->meta);
    forget(r);
}

/* Seconds with a fraction, maybe negative. */
static bool parse_time(const char *p, int64_t *ret)
{
    bool negative = *p == '-';
    int64_t seconds = 0, fraction = 0, unit = NSEC_PER_SEC;

    for (p += negative; *p >= '0' && *p <= '9'; p++) {
        if (seconds > 900000000) /* nanoseconds are to fit, too */
            return false;
        seconds = seconds * 10 + (*p - '0');
    }
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++)
            fraction += (unit /= 10) * (*p - '0');
    *ret = seconds * NSEC_PER_SEC + fraction;
    *ret = negative ? -*ret : *ret;
    return !*p;
}

static bool parse_decimal(const char *p, uint64_t *ret)
{
    uint64_t v = 0;

    if (!*p)
        return false;
    for (; *p >= '0' && *p <= '9' && v <= INT64_MAX / 16; p++)
        v = v * 10 + (uint64_t)(*p - '0');
    *ret = v;
    return !*p;
}

/* key=value; both end with NUL, and the value may hold more of them. */
static bool take_record(struct tar_reader *r, const char *key, const char *value, size_t len)
{
    if (strncmp(key, "GNU.sparse.", 11) == 0) {
        bad(r, "sparse files are not taken");
        return false;
    }
    if (strcmp(key, "path") == 0 || strcmp(key, "linkpath") == 0) {
        str_set(key[0] == 'p' ? &r->path : &r->link, xmemdup0(value, len));
        if (strlen(value) == len)
            return true;
    } else if (strcmp(key, "size") == 0) {
        r->has_size = true;
        if (parse_decimal(value, &r->size))
            return true;
    } else if (strcmp(key, "mtime") == 0) {
        r->has_mtime = true;
        if (parse_time(value, &r->mtime_ns))
            return true;
    } else {
        return true;
    }
    bad(r, "a pax header has a %s that cannot be read", key);
    return false;
}

/* "LENGTH KEY=VALUE\n", one behind the other. The text may be changed. */
static bool take_pax(struct tar_reader *r, char *text, size_t len)
{
    while (len > 0) {
        char *end, *equals;
        unsigned long n = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;

        if (n == 0 || n > len || *end != ' ' || end + 1 >= text + n || text[n - 1] != '\n' ||
            !(equals = memchr(end + 1, '=', (size_t)(text + n - end - 1)))) {
            bad(r, "a pax header is malformed");
            return false;
        }
        *equals = '\0';
        text[n - 1] = '\0';
        if (!take_record(r, end + 1, equals + 1, (size_t)(text + n - 1 - (equals + 1))))
            return false;
        text += n;
        len -= n;
    }
    return true;
}

static enum tar_result meta_done(struct tar_reader *r)
{
    char type = r->meta_type;
    bool good = true;

    r->meta_type = 0;
    if (type == 'x')
        good = take_pax(r, r->meta.data, r->meta.len);
    else if (type != 'g')
        str_set(type == 'L' ? &r->path : &r->link, xstrdup(buf_str(&r->meta)));
    buf_clear(&r->meta);
    return good ? TAR_MORE : TAR_BAD;
}

static enum tar_result meta_begin(struct tar_reader *r, const struct header *h)
{
    uint64_t size;

    if (!parse_field(h->size, sizeof(h->size), &size) || size > TAR_META_BYTES_MAX)
        return bad(r, "a header of more than %u bytes", TAR_META_BYTES_MAX);
    r->meta_type = h->type;
    r->meta_left = size;
    return size == 0 ? meta_done(r) : TAR_MORE;
}

static enum tar_result meta_block(struct tar_reader *r, const unsigned char *block)
{
    size_t n = (size_t)MIN(r->meta_left, (uint64_t)TAR_BLOCK);

    buf_append(&r->meta, block, n);
    r->meta_left -= n;
    return r->meta_left == 0 ? meta_done(r) : TAR_MORE;
}

static char *name_of(const struct header *h)
{
    /* The header of GNU tar has other fields in the place of the prefix. */
    if (memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0])
        return xasprintf("%.*s/%.*s", (int)sizeof(h->prefix), h->prefix, (int)sizeof(h->name),
                         h->name);
    return xasprintf("%.*s", (int)sizeof(h->name), h->name);
}

static bool set_type(struct tar_entry *e, char type, const char *name)
{
    switch (type) {
    case '0':
    case '7':
    case '\0':
        e->type = name[0] && name[strlen(name) - 1] == '/' ? TAR_FOLDER : TAR_FILE;
        return true;
    case '1':
        e->type = TAR_HARDLINK;
        return true;
    case '2':
        e->type = TAR_SYMLINK;
        return true;
    case '5':
        e->type = TAR_FOLDER;
        return true;
    default:
        return false;
    }
}

static const char *type_text(char type)
{
    return type == '3' || type == '4' ? "a device"
           : type == '6'              ? "a pipe"
           : type == 'S'              ? "a sparse file"
                                      : "of a kind that is not known";
}

static enum tar_result check_names(struct tar_reader *r, struct tar_entry *e, const char *name,
                                   const char *link)
{
    e->name = clean(name, 0);
    if (!e->name)
        return bad(r, "%.128s: names are relative, without \"..\", and at most %d bytes long", name,
                   PATH_MAX - 1);
    if (!e->name[0] && e->type != TAR_FOLDER)
        return bad(r, "an entry has no name");
    if (e->type == TAR_HARDLINK || e->type == TAR_SYMLINK)
        e->link = clean(link, e->type == TAR_SYMLINK ? depth_of(e->name) : 0);
    if (e->type == TAR_SYMLINK && e->link && !e->link[0] && link[0])
        str_set(&e->link, xstrdup("."));
    if ((e->type == TAR_HARDLINK || e->type == TAR_SYMLINK) && (!e->link || !e->link[0]))
        return bad(r, "%.80s: the link leads out of the folder, or nowhere: %.80s", name, link);
    return TAR_ENTRY;
}

static enum tar_result read_entry(struct tar_reader *r, const struct header *h,
                                  struct tar_entry *ret)
{
    cleanup_free char *name = r->path ? xstrdup(r->path) : name_of(h);
    cleanup_free char *link =
        r->link ? xstrdup(r->link) : xasprintf("%.*s", (int)sizeof(h->link), h->link);
    CLEANUP(tar_entry_done) struct tar_entry e = {.size = 0};
    uint64_t mode, mtime = 0;
    enum tar_result result;

    if (!set_type(&e, h->type, name))
        return bad(r, "%.128s: is %s, which is not taken", name, type_text(h->type));
    if (!parse_field(h->mode, sizeof(h->mode), &mode) ||
        !parse_field(h->size, sizeof(h->size), &e.size))
        return bad(r, "%.128s: a number of its header cannot be read", name);
    /* One before 1970, which GNU tar writes in its own way, is as good as none. */
    parse_field(h->mtime, sizeof(h->mtime), &mtime);
    if (r->has_size)
        e.size = r->size;
    if (e.size > INT64_MAX)
        return bad(r, "%.128s: is too large", name);
    if (e.type != TAR_FILE)
        e.size = 0;
    e.mode = (uint32_t)(mode & 07777);
    e.mtime_ns =
        r->has_mtime ? r->mtime_ns : (int64_t)MIN(mtime, (uint64_t)INT32_MAX * 4) * NSEC_PER_SEC;
    result = check_names(r, &e, name, link);
    if (result == TAR_ENTRY) {
        *ret = e;
        e = (struct tar_entry){0};
    }
    forget(r);
    return result;
}

enum tar_result tar_read_block(struct tar_reader *r, const unsigned char block[TAR_BLOCK],
                               struct tar_entry *ret)
{
    struct header h;

    if (r->meta_type)
        return meta_block(r, block);
    memcpy(&h, block, sizeof(h));
    if (is_zero(block)) {
        if (r->zero_block)
            return TAR_END;
        r->zero_block = true;
        return TAR_MORE;
    }
    if (r->zero_block)
        return bad(r, "something stands behind a block of zeros");
    if (!checksum_fits(&h))
        return bad(r, "this is no tar archive: a header does not fit its checksum");
    if (h.type == 'x' || h.type == 'g' || h.type == 'L' || h.type == 'K')
        return meta_begin(r, &h);
    return read_entry(r, &h, ret);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_octal(char *field, size_t len, uint64_t v)
{
    for (size_t i = len - 1; i-- > 0; v >>= 3)
        field[i] = (char)('0' + (v & 7));
}

static void put_text(char *field, size_t len, const char *text)
{
    memcpy(field, text, MIN(strlen(text), len));
}

static void append_header(struct buf *b, struct header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    uint64_t sum = 0;

    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += p[i];
    put_octal(h->checksum, 7, sum);
    h->checksum[6] = '\0';
    buf_append(b, h, sizeof(*h));
}

static void append_zeros(struct buf *b, size_t n)
{
    char *p = buf_extend(b, n);

    if (p)
        memset(p, 0, n);
}

/* The length counts itself. */
static void append_record(struct buf *b, const char *key, const char *value)
{
    size_t len = strlen(key) + strlen(value) + 3, n = len + 1;
    char text[24];

    while (len + (size_t)snprintf(text, sizeof(text), "%zu", n) != n)
        n = len + (size_t)snprintf(text, sizeof(text), "%zu", n);
    buf_printf(b, "%zu %s=%s\n", n, key, value);
}

static void append_number(struct buf *b, const char *key, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    append_record(b, key, text);
}

/* What has no room in the header itself. */
static void append_pax(struct buf *b, const struct tar_entry *e)
{
    cleanup_buf struct buf pax = BUF_INIT(TAR_HEAD_BYTES_MAX);
    struct header h = {.type = 'x', .name = "pax"};

    if (strlen(e->name) > sizeof(h.name))
        append_record(&pax, "path", e->name);
    if (e->link && strlen(e->link) > sizeof(h.link))
        append_record(&pax, "linkpath", e->link);
    if (e->size > OCTAL_11)
        append_number(&pax, "size", e->size);
    if (e->uid > OCTAL_7)
        append_number(&pax, "uid", e->uid);
    if (e->gid > OCTAL_7)
        append_number(&pax, "gid", e->gid);
    if (pax.len == 0)
        return;
    put_octal(h.mode, sizeof(h.mode), 0644);
    put_octal(h.size, sizeof(h.size), pax.len);
    append_header(b, &h);
    buf_append(b, pax.data, pax.len);
    append_zeros(b, tar_padding(pax.len));
}

void tar_write_head(struct buf *b, const struct tar_entry *e)
{
    static const char types[] = {
        [TAR_FILE] = '0', [TAR_FOLDER] = '5', [TAR_SYMLINK] = '2', [TAR_HARDLINK] = '1'};
    struct header h = {.type = types[e->type]};
    int64_t mtime = e->mtime_ns / NSEC_PER_SEC;

    append_pax(b, e);
    put_text(h.name, sizeof(h.name), e->name);
    put_text(h.link, sizeof(h.link), str_or_empty(e->link));
    put_octal(h.mode, sizeof(h.mode), e->mode & 07777);
    put_octal(h.uid, sizeof(h.uid), MIN(e->uid, (uint64_t)OCTAL_7));
    put_octal(h.gid, sizeof(h.gid), MIN(e->gid, (uint64_t)OCTAL_7));
    put_octal(h.size, sizeof(h.size), MIN(e->size, (uint64_t)OCTAL_11));
    put_octal(h.mtime, sizeof(h.mtime), (uint64_t)MIN(MAX(mtime, 0), (int64_t)OCTAL_11));
    append_header(b, &h);
}

void tar_write_end(struct buf *b)
{
    append_zeros(b, 2 * TAR_BLOCK);
}
