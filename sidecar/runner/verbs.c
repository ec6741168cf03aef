#include "sidecar/runner/verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sidecar/runner/user.h"
#include "sidecar/runner/verb.h"

static const char usage[] =
    "Usage: runner put [--size N [--sha256 HEX] | --framed] [--mode MODE] PATH\n"
    "       runner get [--offset N] [--length N] PATH\n"
    "       runner ls PATH\n"
    "       runner stat [--follow] PATH\n"
    "       runner rm [-r] [-f] PATH\n"
    "       runner mkdir [-p] [--mode MODE] PATH\n"
    "       runner tar PATH\n"
    "       runner untar [--size N [--sha256 HEX] | --framed] PATH\n"
    "\n"
    "These verbs read and write files of this container. put and untar read standard input; get,\n"
    "ls, stat and tar write standard output. All take --user USER (a name or a number, or either\n"
    "of them with a group: 1000:1000), --dir DIR (a relative PATH is below DIR), and -- before a\n"
    "PATH that begins with a dash.\n"
    "\n"
    "--size N: standard input has N bytes.\n"
    "--framed: standard input has frames. Each frame is a length of four bytes and that many\n"
    "bytes. The last frame is a length of 0 and the SHA-256 of all bytes.\n"
    "\n"
    "Exit status: 0: done. 1: failed; the last line on standard error says why, as JSON. 2: wrong\n"
    "arguments. 126: the user, or any verb, may not be used in this container.\n";

/* ---- tables ---------------------------------------------------------------------------------- */

enum verb_id { PUT = 1, GET = 2, LS = 4, STAT = 8, RM = 16, MKDIR = 32, TAR = 64, UNTAR = 128 };
#define ALL 255u

static const struct {
    enum verb_id id;
    const char *name;
    int (*run)(const struct verb *v);
} verbs[] = {
    {PUT, "put", verb_put},    {GET, "get", verb_get},       {LS, "ls", verb_ls},
    {STAT, "stat", verb_stat}, {RM, "rm", verb_rm},          {MKDIR, "mkdir", verb_mkdir},
    {TAR, "tar", verb_tar},    {UNTAR, "untar", verb_untar},
};

static const struct {
    const char *name;
    unsigned verbs;
    bool takes_value;
    size_t offset;
} options[] = {
    {"--user", ALL, true, offsetof(struct verb, user)},
    {"--dir", ALL, true, offsetof(struct verb, dir)},
    {"--mode", PUT | MKDIR, true, offsetof(struct verb, mode_text)},
    {"--size", PUT | UNTAR, true, offsetof(struct verb, size_text)},
    {"--sha256", PUT | UNTAR, true, offsetof(struct verb, hash_text)},
    {"--framed", PUT | UNTAR, false, offsetof(struct verb, framed)},
    {"--offset", GET, true, offsetof(struct verb, offset_text)},
    {"--length", GET, true, offsetof(struct verb, length_text)},
    {"--follow", STAT, false, offsetof(struct verb, follow)},
    {"-r", RM, false, offsetof(struct verb, recursive)},
    {"-f", RM, false, offsetof(struct verb, force)},
    {"-p", MKDIR, false, offsetof(struct verb, parents)},
};

/* ---- what went wrong ------------------------------------------------------------------------- */

static int misused(const char *fmt, ...) PRINTF_LIKE(1, 2);
static int misused(const char *fmt, ...)
{
    char message[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    return verb_tell("ARGUMENTS", message, VERB_MISUSED);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static bool parse_number(const char *text, int base, uint64_t max, uint64_t *ret)
{
    char *end;

    if (!text)
        return true;
    errno = 0;
    *ret = strtoull(text, &end, base);
    return *text >= '0' && *text <= '9' && !*end && errno == 0 && *ret <= max;
}

static int take_option(struct verb *v, enum verb_id id, char **argv, int argc, int *i)
{
    for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
        void *field = (char *)v + options[k].offset;

        if (strcmp(argv[*i], options[k].name) != 0 || !(options[k].verbs & id))
            continue;
        if (!options[k].takes_value) {
            *(bool *)field = true;
            return 0;
        }
        if (++*i == argc)
            return misused("%s wants a value", options[k].name);
        *(const char **)field = argv[*i];
        return 0;
    }
    return misused("%s: no such option of %s", argv[*i], v->name);
}

static int take_arguments(struct verb *v, enum verb_id id, int argc, char **argv)
{
    bool options_end = false;

    for (int i = 1; i < argc; i++) {
        int r = 0;

        if (!options_end && strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (!options_end && argv[i][0] == '-' && argv[i][1])
            r = take_option(v, id, argv, argc, &i);
        else if (v->given)
            r = misused("%s takes one PATH", v->name);
        else
            v->given = argv[i];
        if (r)
            return r;
    }
    return v->given ? 0 : misused("%s wants a PATH", v->name);
}

static int take_body(struct verb *v, enum verb_id id)
{
    if (v->size_text && v->framed)
        return misused("--size or --framed, not both");
    if (v->hash_text && !v->size_text)
        return misused("--sha256 goes with --size");
    if (id == PUT && !v->size_text && !v->framed)
        return misused("put wants --size or --framed: the end of standard input may be a "
                       "connection that was cut");
    if (v->hash_text && !verb_hash_parse(v->hash_text, v->hash))
        return misused("--sha256 wants 64 hex digits");
    v->body = v->size_text ? VERB_BODY_SIZED : v->framed ? VERB_BODY_FRAMED : VERB_BODY_PLAIN;
    return 0;
}

static int take_numbers(struct verb *v)
{
    uint64_t mode = REPLACE_KEEP_MODE;

    v->length = UINT64_MAX;
    if (!parse_number(v->size_text, 10, INT64_MAX, &v->size) ||
        !parse_number(v->offset_text, 10, INT64_MAX, &v->offset) ||
        !parse_number(v->length_text, 10, INT64_MAX, &v->length))
        return misused("--size, --offset and --length want a number of bytes");
    if (!parse_number(v->mode_text, 8, 07777, &mode))
        return misused("--mode wants an octal number such as 0644");
    v->mode = (uint32_t)mode;
    return 0;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* Appends the components of text. 0 or VERB_PATH. */
static int append_path(struct buf *b, const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "/");

        if (n == 2 && memcmp(p, "..", 2) == 0)
            return VERB_PATH;
        if (n > 0 && !(n == 1 && *p == '.') && (buf_putc(b, '/') < 0 || buf_append(b, p, n) < 0))
            return ENAMETOOLONG;
        p += n + (p[n] == '/');
    }
    return 0;
}

static int take_path(struct verb *v)
{
    struct buf b = BUF_INIT(PATH_MAX - 1);
    cleanup_free char *cwd = NULL;
    int e = *v->given ? 0 : VERB_PATH;

    if (!e && v->given[0] != '/' && (!v->dir || v->dir[0] != '/')) {
        cwd = getcwd(NULL, 0);
        e = cwd ? append_path(&b, cwd) : errno;
    }
    if (!e && v->given[0] != '/' && v->dir)
        e = append_path(&b, v->dir);
    if (!e)
        e = append_path(&b, v->given);
    v->for_folder = v->given[0] && v->given[strlen(v->given) - 1] == '/';
    v->path = b.len ? buf_steal(&b) : xstrdup("/");
    buf_done(&b);
    return e ? verb_fail(e, v->given) : 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int become(const char *text)
{
    char why[FRAME_TEXT_MAX];
    struct user u;
    int r;

    if (!text)
        return 0;
    r = user_find("", text, &u, why);
    if (r == 0)
        r = user_become(&u, text, why);
    user_done(&u);
    return r < 0 ? verb_tell("USER", why, VERB_REFUSED) : 0;
}

static size_t find_verb(const char *name)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(verbs) && strcmp(verbs[i].name, name) != 0)
        i++;
    return i;
}

bool verbs_known(const char *name)
{
    return find_verb(name) < ARRAY_SIZE(verbs);
}

int verbs_main(const struct verbs_place *place, int argc, char **argv)
{
    size_t i = find_verb(argv[0]);
    struct verb v = {.name = argv[0], .walk = place->alone ? 0 : WALK_CONFINED};
    int r;

    /* Other processes of the same user must not write into the answer, or read the input, through
     * /proc/PID/fd. */
    prctl(PR_SET_DUMPABLE, 0);
    if (argc == 2 && str_is_help(argv[1]))
        return verb_write(STDOUT_FILENO, usage, strlen(usage)) ? VERB_FAILED : 0;
    if (!place->here)
        return verb_tell("HERE",
                         "the verbs are for the containers of the user, and not to be "
                         "had in this one",
                         VERB_REFUSED);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    r = take_arguments(&v, verbs[i].id, argc, argv);
    if (!r)
        r = take_body(&v, verbs[i].id);
    if (!r)
        r = take_numbers(&v);
    if (!r)
        r = become(v.user);
    if (!r)
        r = take_path(&v);
    if (!r)
        r = verbs[i].run(&v);
    free(v.path);
    return r;
}
