#include "common/io/http_client_body.h"

#include <stdio.h>

#include "common/io/http_client_easy.h"

static size_t on_read(char *out, size_t size, size_t nmemb, void *arg)
{
    struct http_body *b = arg;
    size_t n = MIN(size * nmemb, b->len - b->read);

    if (n > 0 && !b->data)
        return CURL_READFUNC_ABORT;
    if (n > 0)
        memcpy(out, b->data + b->read, n);
    b->read += n;
    return n;
}

/* To send it once more, on another connection. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct http_body *b = arg;

    if (!b->data || origin != SEEK_SET || offset < 0 || (size_t)offset > b->len)
        return CURL_SEEKFUNC_FAIL;
    b->read = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

void http_body_set(struct http_body *b, CURL *easy, const void *data, size_t len)
{
    b->data = xmemdup0(len ? data : "", len);
    b->len = len;
    easy_set(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    if (len <= HTTP_BODY_APART_BYTES) {
        easy_set(easy, CURLOPT_POSTFIELDS, b->data);
        return;
    }
    easy_set(easy, CURLOPT_POST, 1L);
    easy_set(easy, CURLOPT_READFUNCTION, on_read);
    easy_set(easy, CURLOPT_READDATA, b);
    easy_set(easy, CURLOPT_SEEKFUNCTION, on_seek);
    easy_set(easy, CURLOPT_SEEKDATA, b);
}

void http_body_answered(struct http_body *b)
{
    /* It may answer before it has everything. */
    if (b->len <= HTTP_BODY_APART_BYTES || b->read < b->len)
        return;
    free(b->data);
    b->data = NULL;
}

void http_body_done(struct http_body *b)
{
    free(b->data);
    b->data = NULL;
}
