/* The agents' side of the sealed channel, by the shipped code: it derives the keys of an exchange,
 * opens requests and seals answers. Random bytes come from the seed, so that one seed is one
 * run. */
#include "tests/sim/net.h"

#include <sodium.h>

#include "common/base/limits.h"
#include "tests/agent_side.h"

#define ANSWER_MAX (8u << 20)

/* ---- libsodium's random bytes ---------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(random_state >> 32);
}

static const char *random_name(void)
{
    return "simulator";
}

static void random_fill(void *const out, const size_t len)
{
    unsigned char *p = out;

    for (size_t i = 0; i < len; i++)
        p[i] = (unsigned char)(next_random() >> 24);
}

void seal_init(uint64_t seed)
{
    static randombytes_implementation source = {
        .implementation_name = random_name, .random = next_random, .buf = random_fill};

    random_state = seed;
    randombytes_set_implementation(&source);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The pair of a secret. UIDs are the same in each run, and so are the secrets; a multiplication of
 * X25519 is slow. */
static const struct channel_pair *pair_of(const unsigned char secret[CHANNEL_KEY_BYTES])
{
    static struct channel_pair known[1024];
    struct channel_pair *p = &known[(secret[0] | secret[1] << 8) % ARRAY_SIZE(known)];

    if (memcmp(p->secret, secret, CHANNEL_KEY_BYTES) != 0)
        channel_pair_init(p, secret);
    return p;
}

/* The key that the pod's arl-init makes. Another generation gives another key. */
void seal_make_key(struct kpod *k, unsigned generation)
{
    unsigned char secret[CHANNEL_KEY_BYTES];
    cleanup_free char *from = xasprintf("%s %u", k->uid, generation);

    crypto_generichash(secret, sizeof(secret), (const unsigned char *)from, strlen(from), NULL, 0);
    k->pair = *pair_of(secret);
    memset(k->peers, 0, sizeof(k->peers));
}

static bool request_of(const struct msg *m, struct agent_side_request *ret)
{
    *ret = (struct agent_side_request){.method = m->method,
                                       .path_query = m->path_query,
                                       .pod_uid = m->pod_uid,
                                       .sandbox_uid = m->sandbox_uid,
                                       .operator_key = m->operator_key,
                                       .signature_input = m->signature_input};
    return m->pod_uid && m->sandbox_uid && m->operator_key && m->signature_input;
}

/* What an agent shares with an operator is kept: a multiplication of X25519 is slow. */
static const struct channel_shared *shared_with(struct kpod *k, const struct agent_side_request *r)
{
    struct sim_peer *p = &k->peers[k->next_peer % SIM_PEERS];

    for (size_t i = 0; i < SIM_PEERS; i++)
        if (strcmp(k->peers[i].operator_key, r->operator_key) == 0)
            return &k->peers[i].shared;
    if (strlen(r->operator_key) >= sizeof(p->operator_key) ||
        !agent_side_shared(&k->pair, r, &p->shared))
        return NULL;
    k->next_peer++;
    memcpy(p->operator_key, r->operator_key, strlen(r->operator_key) + 1);
    return &p->shared;
}

bool seal_key(const struct channel_pair *pair, const struct msg *m,
              unsigned char ret[CHANNEL_KEY_BYTES])
{
    struct agent_side_request r;
    struct channel_shared shared;

    return request_of(m, &r) && agent_side_shared(pair, &r, &shared) &&
           agent_side_derive(&shared, &r, CHANNEL_ANSWER, ret);
}

bool seal_open(struct kpod *k, struct msg *m)
{
    unsigned char key[CHANNEL_KEY_BYTES];
    const struct channel_shared *shared;
    struct agent_side_request r;

    if (!request_of(m, &r))
        return false;
    shared = shared_with(k, &r);
    if (!shared || !agent_side_derive(shared, &r, CHANNEL_ANSWER, m->key) ||
        !agent_side_derive(shared, &r, CHANNEL_REQUEST, key))
        return false;
    if (m->body_len > 0 && channel_open(key, m->body, m->body_len, &m->body_len) < 0)
        return false;
    m->body[m->body_len] = '\0';
    m->sealed = true;
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What leaves the agent goes over a network that may not be ours alone. */
static void send(struct sim *s, struct ops_call *c, struct buf *b)
{
    if (hostile_on_the_way(s, c->agent, NULL, b))
        stream_end(s, c->number);
    else
        stream_write(s, c->number, b->data, b->len);
}

void seal_begin(struct sim *s, struct kpod *k, const struct msg *m)
{
    cleanup_buf struct buf b = BUF_INIT(ANSWER_MAX);
    struct ops_call *c = net_find(s, m->call);

    if (!c)
        return;
    c->agent = k;
    channel_writer_begin(&c->writer, m->key, 200, &b);
    send(s, c, &b);
}

void seal_write(struct sim *s, uint64_t call, const char *data, size_t len, bool final)
{
    cleanup_buf struct buf b = BUF_INIT(ANSWER_MAX);
    struct ops_call *c = net_find(s, call);

    if (!c || !c->agent || !stream_alive(s, call))
        return;
    for (; len > CHANNEL_FRAME_MAX; data += CHANNEL_FRAME_MAX, len -= CHANNEL_FRAME_MAX)
        channel_writer_put(&c->writer, data, CHANNEL_FRAME_MAX, false, &b);
    channel_writer_put(&c->writer, data, len, final, &b);
    send(s, c, &b);
    if (final)
        stream_end(s, call);
}

/* m has the whole answer, as status and text. */
void seal_answer(struct sim *s, struct kpod *k, struct msg *m)
{
    struct buf b = BUF_INIT(ANSWER_MAX);
    int r = channel_answer(m->key, m->status, str_or_empty(m->reply),
                           strlen(str_or_empty(m->reply)), &b);

    assert(r == 0);
    m->status = 200;
    str_set(&m->reply, NULL);
    hostile_on_the_way(s, k, m, &b);
    if (m->stream) {
        stream_write(s, m->call, buf_str(&b), b.len);
        stream_end(s, m->call);
        buf_done(&b);
    } else {
        m->reply_len = b.len;
        m->reply = b.len ? buf_steal(&b) : NULL;
    }
}
