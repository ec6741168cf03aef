#include "sidecar/follow/follow_request.h"

#include <errno.h>
#include <stdio.h>

#include "sidecar/auth/words.h"

static bool take_number(const char *text, size_t len, unsigned max, unsigned *ret)
{
    uint64_t v;

    if (!word_number(text, len, max, &v))
        return false;
    *ret = (unsigned)v;
    return true;
}

int follow_target_parse(const char *text, struct follow_request *ret, struct err *err)
{
    size_t len = strnlen(text, LIMIT_UID_BYTES + 8), uid_len = strcspn(text, "/");
    struct follow_request r = *ret;

    if (uid_len >= len || !word_uid(text, uid_len, r.uid) ||
        !take_number(text + uid_len + 1, len - uid_len - 1, LIMIT_STEPS - 1, &r.step))
        return err_set(err, -EINVAL,
                       "\"%.*s\" is not TASKUID/STEP: metadata.uid of the Task, a slash, and the "
                       "number of the step from 0",
                       LIMIT_UID_BYTES + 8, text);
    *ret = r;
    return 0;
}

/* The next word of a line, which a single space ends. */
static bool next_word(const char **p, size_t *left, const char **ret, size_t *ret_len)
{
    const char *space = memchr(*p, ' ', *left);

    *ret = *p;
    *ret_len = space ? (size_t)(space - *p) : *left;
    *p += space ? *ret_len + 1 : *left;
    *left -= space ? *ret_len + 1 : *left;
    return *ret_len > 0;
}

int follow_request_parse(const char *line, size_t len, struct follow_request *ret)
{
    struct follow_request r;
    unsigned follow;
    struct {
        const char *text;
        size_t len;
    } w[7];
    bool last_is_last;

    for (size_t i = 0; i < ARRAY_SIZE(w); i++)
        if (!next_word(&line, &len, &w[i].text, &w[i].len))
            return -EINVAL;
    last_is_last = len == 0 && line == w[6].text + w[6].len;
    if (!last_is_last || w[0].len != 5 || memcmp(w[0].text, "tail1", 5) != 0 ||
        !word_uid(w[1].text, w[1].len, r.uid) ||
        !take_number(w[2].text, w[2].len, LIMIT_STEPS - 1, &r.step) ||
        !take_number(w[3].text, w[3].len, FOLLOW_ATTEMPTS, &r.attempt) ||
        !take_number(w[4].text, w[4].len, FOLLOW_WAIT_MAX_S, &r.wait_s) ||
        !take_number(w[5].text, w[5].len, 3, &r.streams) || r.streams == 0 ||
        !take_number(w[6].text, w[6].len, 1, &follow))
        return -EINVAL;
    r.follow = follow == 1;
    *ret = r;
    return 0;
}

size_t follow_request_format(const struct follow_request *r, char ret[FOLLOW_LINE_BYTES])
{
    int n = snprintf(ret, FOLLOW_LINE_BYTES, "tail1 %s %u %u %u %u %d\n", r->uid, r->step,
                     r->attempt, r->wait_s, r->streams, r->follow);

    assert(n > 0 && n < FOLLOW_LINE_BYTES);
    return (size_t)n;
}

void follow_head(unsigned char ret[FOLLOW_HEAD_BYTES], enum follow_kind kind, size_t len)
{
    ret[0] = (unsigned char)kind;
    for (int i = 0; i < 4; i++)
        ret[1 + i] = (unsigned char)(len >> (24 - 8 * i));
}
