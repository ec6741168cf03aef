#include "operator/seam/request.h"

#define LEASE_PREFIX "/apis/coordination.k8s.io/"

struct ops_request *request_copy(const struct ops_request *req)
{
    struct ops_request *c = (void *)xmemdup0(req, sizeof(*req));
    const char **headers = xcalloc(REQUEST_HEADERS_MAX + 1, sizeof(*headers));
    size_t count = 0;

    c->address = xstrdup(req->address);
    c->method = xstrdup(req->method);
    c->path = xstrdup(req->path);
    c->content_type = xstrdup(req->content_type);
    c->accept = xstrdup(req->accept);
    c->group = xstrdup(req->group);
    c->body = req->body_len ? xmemdup0(req->body, req->body_len) : NULL;
    for (const char *const *h = req->headers; h && *h; h++) {
        assert(count < REQUEST_HEADERS_MAX);
        headers[count++] = xstrdup(*h);
    }
    c->headers = headers;
    return c;
}

void request_free(struct ops_request *req)
{
    if (!req)
        return;
    for (const char *const *h = req->headers; *h; h++)
        free((char *)*h);
    free((void *)req->headers);
    free((char *)req->address);
    free((char *)req->method);
    free((char *)req->path);
    free((char *)req->content_type);
    free((char *)req->accept);
    free((char *)req->group);
    free((void *)req->body);
    free(req);
}

bool request_is_lease(const struct ops_request *req)
{
    return req->target == OPS_API && strncmp(req->path, LEASE_PREFIX, strlen(LEASE_PREFIX)) == 0;
}
