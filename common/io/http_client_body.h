/*
 * Gives the body of a request to curl. A short body shares the first packet with the head. A body
 * of more than HTTP_BODY_APART_BYTES is sent in pieces, and is freed as soon as the answer begins,
 * since a stream may last for hours.
 */
#ifndef ARL_COMMON_IO_HTTP_CLIENT_BODY_H
#define ARL_COMMON_IO_HTTP_CLIENT_BODY_H

#include <curl/curl.h>

#include "common/base/base.h"

#define HTTP_BODY_APART_BYTES (64u << 10)

struct http_body {
    char *data; /* owned; NULL: none, or it was sent and answered */
    size_t len;
    size_t read; /* how much of a long body curl has read */
};

/* Copies the body, which stays where it is until http_body_done(). */
void http_body_set(struct http_body *b, CURL *easy, const void *data, size_t len);
/* The answer has begun. */
void http_body_answered(struct http_body *b);
/* After curl has let go of the request. */
void http_body_done(struct http_body *b);

#endif
