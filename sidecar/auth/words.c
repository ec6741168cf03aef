#include "sidecar/auth/words.h"

bool word_uid(const char *text, size_t len, char ret[LIMIT_UID_BYTES + 1])
{
    if (len == 0 || len > LIMIT_UID_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= 'A' && text[i] <= 'Z') &&
            !(text[i] >= '0' && text[i] <= '9') && text[i] != '-')
            return false;
    memcpy(ret, text, len);
    ret[len] = '\0';
    return true;
}

bool word_number(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (len == 0 || (text[0] == '0' && len > 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)text[i] - '0';

        if (text[i] < '0' || text[i] > '9' || v > max / 10 || digit > max - 10 * v)
            return false;
        v = 10 * v + digit;
    }
    *ret = v;
    return true;
}
