/*
 * malloc(), calloc() and realloc() of the whole program, libraries included, that end it when there
 * is no memory, as xmalloc() does. It is part of the programs, not of a library: what is linked
 * with it has this policy.
 *
 * Without it a library would go on with what it has got: json-c 0.16 turns a value for which there
 * is no memory into null, or cuts a string short, and calls the text well parsed. A Task with a
 * step less, or a pod without its security context, would be the result.
 *
 * glibc lets a program define these three (its manual, "Replacing malloc"); free() and the aligned
 * ones stay glibc's, since it is glibc's memory. Programs with AddressSanitizer get its memory.
 */
#include "common/base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define REAL(name) __interceptor_##name
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REAL(name) __interceptor_##name
#endif
#endif
#ifndef REAL
#define REAL(name) __libc_##name
#endif

extern void *REAL(malloc)(size_t size);
extern void *REAL(calloc)(size_t count, size_t size);
extern void *REAL(realloc)(void *ptr, size_t size);

__attribute__((no_sanitize_address)) void *malloc(size_t size)
{
    void *p = REAL(malloc)(size);

    if (!p)
        out_of_memory(size);
    return p;
}

__attribute__((no_sanitize_address)) void *calloc(size_t count, size_t size)
{
    void *p = REAL(calloc)(count, size);

    if (!p)
        out_of_memory(size);
    return p;
}

/* With 0 it is free(), and NULL is no failure. */
__attribute__((no_sanitize_address)) void *realloc(void *ptr, size_t size)
{
    void *p = REAL(realloc)(ptr, size);

    if (!p && size > 0)
        out_of_memory(size);
    return p;
}
