/*
 * What asks for a step's output as it comes: TASKUID/STEP, which `arl-sidecar tail` is given
 * through pods/exec, and the line that comes over the agent's socket, from whoever reaches it. The
 * input is taken for both. What can be read is written as the same bytes.
 */
#include "sidecar/follow/follow_request.h"
#include "tests/fuzz/fuzz.h"

static void check_request(const struct follow_request *r)
{
    size_t len = strlen(r->uid);

    property(len > 0 && len <= LIMIT_UID_BYTES);
    /* The UID becomes a part of names of files. */
    property(strspn(r->uid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") ==
             len);
    property(r->step < LIMIT_STEPS && r->attempt <= FOLLOW_ATTEMPTS);
    property(r->wait_s <= FOLLOW_WAIT_MAX_S && r->streams >= 1 && r->streams <= 3);
}

static void check_line(const char *data, size_t size)
{
    struct follow_request r = {.wait_s = 7}, again;
    char line[FOLLOW_LINE_BYTES];
    size_t len;

    if (follow_request_parse(data, size, &r) < 0) {
        property(r.wait_s == 7 && r.uid[0] == '\0');
        return;
    }
    check_request(&r);
    len = follow_request_format(&r, line);
    property(len == size + 1 && memcmp(line, data, size) == 0 && line[size] == '\n');
    property(follow_request_parse(line, len - 1, &again) == 0);
    /* A line is exactly that: not with its newline, and not with a byte less. */
    property(follow_request_parse(line, len, &again) < 0);
    property(follow_request_parse(line, len - 2, &again) < 0);
}

static void check_target(const char *text)
{
    struct follow_request r = {.attempt = 1, .wait_s = FOLLOW_WAIT_S, .streams = 3}, again;
    cleanup_free char *same = NULL;
    char line[FOLLOW_LINE_BYTES];
    struct err err = {0};

    if (follow_target_parse(text, &r, &err) < 0) {
        property(err.msg[0] && r.uid[0] == '\0');
        return;
    }
    check_request(&r);
    same = xasprintf("%s/%u", r.uid, r.step);
    property(strcmp(same, text) == 0);
    property(follow_request_parse(line, follow_request_format(&r, line) - 1, &again) == 0);
    property(strcmp(again.uid, r.uid) == 0 && again.step == r.step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A block of the exact size, so that a read past the end is seen. */
    cleanup_free char *line = xmalloc(size + (size == 0));
    cleanup_free char *text = xmemdup0(data, size);

    if (size)
        memcpy(line, data, size);
    check_line(line, size);
    check_target(text);
    return 0;
}
