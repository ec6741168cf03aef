/*
 * An option of a request, which libcurl must take. It refuses one that it was built without, and
 * would go on as if the option had not been asked for: without our CA, for instance, it would
 * believe those of the system. All values are ours and have limits, so that input can not cause it.
 */
#ifndef ARL_COMMON_IO_HTTP_CLIENT_EASY_H
#define ARL_COMMON_IO_HTTP_CLIENT_EASY_H

#include <curl/curl.h>

#include "common/base/base.h"

/* A macro, since curl_easy_setopt() is one that checks the type of the value. */
#define easy_set(easy, option, value)                                                              \
    do {                                                                                           \
        CURLcode easy_set_code = curl_easy_setopt((easy), (option), (value));                      \
                                                                                                   \
        assert(easy_set_code == CURLE_OK);                                                         \
    } while (0)

#endif
