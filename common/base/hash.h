/*
 * FNV-1a with 64 bits: a number that stands for a text, to find it or to tell it from others. It is
 * no help against somebody who looks for two texts with one number.
 *
 * h is HASH_INIT, or what an earlier part gave.
 */
#ifndef ARL_COMMON_BASE_HASH_H
#define ARL_COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_INIT 0xcbf29ce484222325ULL

/* One byte, or one number. */
static inline uint64_t hash_add(uint64_t h, uint64_t value)
{
    return (h ^ value) * 0x100000001b3ULL;
}

static inline uint64_t hash_bytes(uint64_t h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = hash_add(h, (unsigned char)data[i]);
    return h;
}

static inline uint64_t hash_text(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = hash_add(h, (unsigned char)*s);
    return h;
}

#endif
