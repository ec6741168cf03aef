/*
 * The body of a request, as curl is given it. A short one shares the first packet with the head.
 * One of more than HTTP_BODY_APART_BYTES goes out piece by piece and is freed as soon as it has
 * been answered: a stream may last for hours.
 */
#ifndef ARL_COMMON_IO_HTTP_CLIENT_BODY_H
#define ARL_COMMON_IO_HTTP_CLIENT_BODY_H

#include <curl/curl.h>

#include "common/base/base.h"

#define HTTP_BODY_APART_BYTES (64u << 10)

struct http_body {
    char *data; /* owned; NULL: none, or it was sent and answered */
    size_t len;
    size_t read; /* by curl, of a long one */
};

/* Copies the body, which stays where it is until http_body_done(). */
void http_body_set(struct http_body *b, CURL *easy, const void *data, size_t len);
/* The peer answers. */
void http_body_answered(struct http_body *b);
/* After curl has let go of the request. */
void http_body_done(struct http_body *b);

#endif
