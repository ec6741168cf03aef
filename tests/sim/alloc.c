/*
 * The heap of the simulator. A run makes and frees some hundred thousand small pieces, in one
 * thread; libc's malloc took a fifth of its time. Here a piece of up to 1 KiB comes from a list of
 * free pieces of its size; libc has the rest. Free memory is kept for the next run and is never
 * given back. This file is not built with sanitizers: their heap finds what is used after it was
 * freed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 16u
#define SMALL 1024u
#define PAGE (64u << 10)         /* of pieces of one size */
#define REGION ((size_t)8 << 30) /* of addresses; memory comes when it is touched */

void *__libc_malloc(size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

struct piece {
    struct piece *next;
};

static struct piece *free_pieces[SMALL / ALIGN + 1];
static uint8_t page_class[REGION / PAGE];
static char *region, *region_used;

static int is_small(const void *p)
{
    return region && (const char *)p >= region && (const char *)p < region_used;
}

static size_t class_of(const void *p)
{
    return page_class[(size_t)((const char *)p - region) / PAGE];
}

static struct piece *new_page(size_t class)
{
    size_t size = class * ALIGN;
    char *page;

    if (!region) {
        void *p = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p == MAP_FAILED)
            return NULL;
        madvise(p, REGION, MADV_HUGEPAGE); /* fewer misses of the TLB, where there are such pages */
        region = region_used = p;
    }
    if (region_used == region + REGION)
        return NULL;
    page = region_used;
    region_used += PAGE;
    page_class[(size_t)(page - region) / PAGE] = (uint8_t) class;
    for (size_t at = 0; at + size <= PAGE; at += size) {
        struct piece *p = (struct piece *)(page + at);

        p->next = free_pieces[class];
        free_pieces[class] = p;
    }
    return free_pieces[class];
}

void *malloc(size_t size)
{
    size_t class = size ? (size + ALIGN - 1) / ALIGN : 1;
    struct piece *p;

    if (size > SMALL)
        return __libc_malloc(size);
    p = free_pieces[class];
    if (!p)
        p = new_page(class);
    if (!p) {
        errno = ENOMEM;
        return NULL;
    }
    free_pieces[class] = p->next;
    return p;
}

void free(void *p)
{
    struct piece *piece = p;

    if (!is_small(p)) {
        __libc_free(p);
        return;
    }
    piece->next = free_pieces[class_of(p)];
    free_pieces[class_of(p)] = piece;
}

void *calloc(size_t n, size_t size)
{
    size_t all;
    void *p;

    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    p = malloc(all);
    return p ? memset(p, 0, all) : NULL;
}

void *realloc(void *old, size_t size)
{
    size_t has = is_small(old) ? class_of(old) * ALIGN : 0;
    void *p;

    if (!old)
        return malloc(size);
    if (!has)
        return __libc_realloc(old, size);
    if (size <= has)
        return old;
    p = malloc(size);
    if (!p)
        return NULL;
    memcpy(p, old, has);
    free(old);
    return p;
}
