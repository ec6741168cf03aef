/*
 * The few things that every file of the project needs: integer types, container_of, cleanup
 * attributes, checked allocation.
 *
 * When memory runs out, the x-functions below end the process with a message. All state can be
 * rebuilt from the API server and from the journals, so nothing is gained by going on. Everything
 * that grows with input from outside is bounded (limits.h). So memory runs out only if the
 * container's limit is too small, and a restart with its log line says that better than a half-done
 * answer. oom.c applies the same rule to the libraries in the daemons.
 */
#ifndef ARL_COMMON_BASE_BASE_H
#define ARL_COMMON_BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define UNUSED __attribute__((unused))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))

#undef MIN /* <sys/param.h> has them, too, and some libraries' headers include it */
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define NSEC_PER_MSEC 1000000LL
#define NSEC_PER_SEC 1000000000LL
#define MSEC_PER_SEC 1000LL

/* Writes one line to stderr and ends the process with this status, the one that a shell shows for
 * an abort. */
#define OUT_OF_MEMORY_STATUS 134
_Noreturn void out_of_memory(size_t size);

/* None of them returns NULL, except that xstrdup(NULL) is NULL. The caller owns the result. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *ptr, size_t size);
char *xstrdup(const char *s);
char *xmemdup0(const void *data, size_t len); /* copy of len bytes and a NUL behind them */
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Frees *pp and sets it to s (which is then owned by *pp). */
void str_set(char **pp, char *s);
/* Takes the text out of *pp, which is NULL then. */
static inline char *str_take(char **pp)
{
    char *s = *pp;

    *pp = NULL;
    return s;
}

static inline void free_charp(char **pp)
{
    free(*pp);
}
#define cleanup_free CLEANUP(free_charp)

/* Closes a file, unless the number is negative; errno stays. */
void close_fdp(const int *fd);
#define cleanup_fd CLEANUP(close_fdp)

/* Equality of strings of which either may be NULL (NULL equals only NULL). */
bool str_eq(const char *a, const char *b);
/* A name as namespaces and containers have them: a DNS label (RFC 1123) of LIMIT_LABEL_BYTES at
 * most. NULL is none. */
bool is_dns_label(const char *s);
/* A name of an object as Kubernetes has them: a DNS subdomain (RFC 1123) of LIMIT_NAME_BYTES at
 * most. NULL is none. */
bool is_dns_name(const char *s);
/* A copy of at most max bytes; a longer text is cut between two UTF-8 characters. NULL: NULL. */
char *xstrdup_max(const char *s, size_t max);
/* The same for untrusted text in messages that people read: control characters are escaped (\n,
 * \x1b), so that the text stays one line and moves no cursor. */
char *xstrdup_foreign(const char *s, size_t max);
/* s, or "" for NULL. */
static inline const char *str_or_empty(const char *s)
{
    return s ? s : "";
}

/* Whether an argument of a command line asks for help. */
static inline bool str_is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

#endif
