#include "common/io/http_client_tls.h"

#include "common/io/http_client_easy.h"

struct http_tls_ref *http_tls_new(const struct http_tls *tls)
{
    struct http_tls_ref *t = xcalloc(1, sizeof(*t));

    t->refs = 1;
    t->tls.ca_pem = xstrdup(tls->ca_pem);
    t->tls.cert_pem = xstrdup(tls->cert_pem);
    t->tls.key_pem = xstrdup(tls->key_pem);
    t->tls.server_name = xstrdup(tls->server_name);
    t->tls.insecure_skip_verify = tls->insecure_skip_verify;
    return t;
}

void http_tls_unref(struct http_tls_ref *t)
{
    if (!t || --t->refs > 0)
        return;
    free(t->tls.ca_pem);
    free(t->tls.cert_pem);
    if (t->tls.key_pem)
        explicit_bzero(t->tls.key_pem, strlen(t->tls.key_pem));
    free(t->tls.key_pem);
    free(t->tls.server_name);
    free(t);
}

static void easy_set_pem(CURL *easy, CURLoption option, char *pem)
{
    struct curl_blob blob = {.data = pem, .flags = CURL_BLOB_NOCOPY};

    if (!pem)
        return;
    blob.len = strlen(pem);
    easy_set(easy, option, &blob);
}

void http_tls_apply(struct http_tls_ref *t, CURL *easy)
{
    /* Our calls to one peer share connections anyway; a cache of sessions in each handle would
     * only cost memory. */
    easy_set(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    easy_set(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!t)
        return;
    t->refs++;
    easy_set_pem(easy, CURLOPT_CAINFO_BLOB, t->tls.ca_pem);
    easy_set_pem(easy, CURLOPT_SSLCERT_BLOB, t->tls.cert_pem);
    easy_set_pem(easy, CURLOPT_SSLKEY_BLOB, t->tls.key_pem);
    easy_set_pem(easy, CURLOPT_PROXY_CAINFO_BLOB, t->tls.ca_pem); /* of an https proxy, as in Go */
    if (t->tls.insecure_skip_verify) {
        easy_set(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        easy_set(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
        easy_set(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        easy_set(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}
