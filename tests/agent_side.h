/*
 * The agent's side of the sealed channel, for fakes of agents: which keys an exchange has. Header
 * only.
 */
#ifndef ARL_TESTS_AGENT_SIDE_H
#define ARL_TESTS_AGENT_SIDE_H

#include <string.h>

#include "common/wire/channel.h"
#include "common/wire/signature.h"

/* The pair that fakes have unless they are to differ; its public half as text. */
#define AGENT_SIDE_SECRET                                                                          \
    {                                                                                              \
        7, 7, 7                                                                                    \
    }
#define AGENT_SIDE_KEY "YlixYooR7snTD4Nq7li5n-bkwwPwN_08f_uu2ucuH1g"
/* The public key of another agent. */
#define AGENT_SIDE_OTHER_KEY "G5_L6f2F-MGyOsLlxnWgWutdpkHzK_W1SyYon-sIVGw"
/* In the status of a pod: arl-init has told the key. */
#define AGENT_SIDE_TOLD(key)                                                                       \
    "\"initContainerStatuses\":[{\"name\":\"arl-init\",\"state\":{\"terminated\":{\"exitCode\":0," \
    "\"message\":\"arl-agent-key:" key "\"}}}]"

/* As the request's headers have them; no NULL among them. path_query may have a query. */
struct agent_side_request {
    const char *method;
    const char *path_query;
    const char *pod_uid;
    const char *sandbox_uid;
    const char *operator_key;
    const char *signature_input;
};

/* The nonce out of a header Signature-Input. */
static inline bool agent_side_nonce(const char *signature_input, char ret[SIGNATURE_NONCE_TEXT])
{
    const char *from = strstr(signature_input, ";nonce=\"");
    size_t len = from ? strcspn(from + 8, "\"") : 0;

    if (len == 0 || len >= SIGNATURE_NONCE_TEXT)
        return false;
    memcpy(ret, from + 8, len);
    ret[len] = '\0';
    return true;
}

/* What both sides derive keys from. false: the operator's key is none. */
static inline bool agent_side_shared(const struct channel_pair *agent,
                                     const struct agent_side_request *r, struct channel_shared *ret)
{
    unsigned char key[CHANNEL_KEY_BYTES];

    return channel_key_parse(r->operator_key, strlen(r->operator_key), key) &&
           channel_shared_agent(agent, key, r->pod_uid, ret) == 0;
}

static inline bool agent_side_derive(const struct channel_shared *shared,
                                     const struct agent_side_request *r,
                                     enum channel_direction direction,
                                     unsigned char ret[CHANNEL_KEY_BYTES])
{
    char nonce[SIGNATURE_NONCE_TEXT], path[512];
    size_t len = strcspn(r->path_query, "?");
    struct channel_exchange x = {.method = r->method,
                                 .path = path,
                                 .query = r->path_query[len] ? r->path_query + len + 1 : "",
                                 .sandbox_uid = r->sandbox_uid,
                                 .nonce = nonce};

    if (len >= sizeof(path) || !agent_side_nonce(r->signature_input, nonce))
        return false;
    memcpy(path, r->path_query, len);
    path[len] = '\0';
    channel_derive(shared, &x, direction, ret);
    return true;
}

#endif
