#include <errno.h>

#include "common/wire/channel.h"
#include "common/wire/signature.h"

#include "tests/unit/unit.h"

#define POD_UID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define ANSWER_MAX (1u << 20)

static const struct channel_exchange exchange = {"PUT", "/v1/tasks/0a1b/1", "after=0",
                                                 "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                                                 "AAECAwQFBgcICQoLDA0ODw"};

static struct channel_pair pair(unsigned char fill)
{
    unsigned char secret[CHANNEL_KEY_BYTES];
    struct channel_pair p;

    memset(secret, fill, sizeof(secret));
    channel_pair_init(&p, secret);
    return p;
}

static struct channel_shared shared(void)
{
    struct channel_pair op = pair(1), agent = pair(2);
    struct channel_shared s;

    assert_int_equal(channel_shared_operator(&op, agent.public_key, POD_UID, &s), 0);
    return s;
}

static void key_of(const struct channel_exchange *x, enum channel_direction d, unsigned char *ret)
{
    struct channel_shared s = shared();

    channel_derive(&s, x, d, ret);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void both_sides_agree(void **state)
{
    struct channel_pair op = pair(1), agent = pair(2), other = pair(3);
    struct channel_shared a, b, c;

    assert_int_equal(channel_shared_operator(&op, agent.public_key, POD_UID, &a), 0);
    assert_int_equal(channel_shared_agent(&agent, op.public_key, POD_UID, &b), 0);
    assert_memory_equal(a.key, b.key, sizeof(a.key));
    assert_int_equal(channel_shared_operator(&op, agent.public_key, "another pod", &c), 0);
    assert_memory_not_equal(a.key, c.key, sizeof(a.key));
    assert_int_equal(channel_shared_operator(&other, agent.public_key, POD_UID, &c), 0);
    assert_memory_not_equal(a.key, c.key, sizeof(a.key));
}

static void keys_of_small_order_are_refused(void **state)
{
    struct channel_pair op = pair(1);
    unsigned char zero[CHANNEL_KEY_BYTES] = {0}, one[CHANNEL_KEY_BYTES] = {1};
    struct channel_shared s;

    assert_int_equal(channel_shared_operator(&op, zero, POD_UID, &s), -EACCES);
    assert_int_equal(channel_shared_agent(&op, one, POD_UID, &s), -EACCES);
}

static void a_key_has_one_text(void **state)
{
    struct channel_pair p = pair(2);
    unsigned char key[CHANNEL_KEY_BYTES];
    char text[CHANNEL_KEY_TEXT];

    channel_key_format(p.public_key, text);
    assert_int_equal(strlen(text), CHANNEL_KEY_TEXT - 1);
    assert_true(channel_key_parse(text, strlen(text), key));
    assert_memory_equal(key, p.public_key, sizeof(key));
    assert_false(channel_key_parse(text, strlen(text) - 1, key));
    /* The last character holds four bits: the two others must not be set. */
    assert_false(channel_key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
                                   CHANNEL_KEY_TEXT - 1, key));
    assert_false(channel_key_parse("AAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAA",
                                   CHANNEL_KEY_TEXT - 1, key));
    assert_false(channel_key_parse("AAAAAAAAAAAAAAAAAAAAA\xc1"
                                   "AAAAAAAAAAAAAAAAAAAAA",
                                   CHANNEL_KEY_TEXT - 1, key));
}

static void each_exchange_has_its_keys(void **state)
{
    struct channel_exchange others[] = {exchange, exchange, exchange, exchange, exchange, exchange};
    unsigned char want[CHANNEL_KEY_BYTES], got[CHANNEL_KEY_BYTES];

    others[0].method = "GET";
    others[1].path = "/v1/tasks/0a1b/2";
    others[2].query = "after=1";
    others[3].sandbox_uid = "another sandbox";
    others[4].nonce = "AAECAwQFBgcICQoLDA0ODg";
    others[5].path = "/v1/tasks/0a1b/1after=0"; /* the same characters in a row */
    others[5].query = "";
    key_of(&exchange, CHANNEL_REQUEST, want);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        key_of(&others[i], CHANNEL_REQUEST, got);
        assert_memory_not_equal(got, want, sizeof(got));
    }
    key_of(&exchange, CHANNEL_ANSWER, got);
    assert_memory_not_equal(got, want, sizeof(got));
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void a_body_opens_only_whole_and_unchanged(void **state)
{
    static const char text[] = "{\"steps\":[]}";
    cleanup_buf struct buf sealed = BUF_INIT(ANSWER_MAX), copy = BUF_INIT(ANSWER_MAX);
    unsigned char key[CHANNEL_KEY_BYTES], other[CHANNEL_KEY_BYTES];
    size_t len = 0;

    key_of(&exchange, CHANNEL_REQUEST, key);
    key_of(&exchange, CHANNEL_ANSWER, other);
    assert_int_equal(channel_seal(key, text, strlen(text), &sealed), 0);
    assert_int_equal(sealed.len, strlen(text) + CHANNEL_SEAL_BYTES);
    for (size_t i = 0; i < sealed.len; i++) {
        buf_clear(&copy);
        buf_append(&copy, sealed.data, sealed.len);
        copy.data[i] ^= 1;
        assert_int_equal(channel_open(key, copy.data, copy.len, &len), -EBADMSG);
        buf_clear(&copy);
        buf_append(&copy, sealed.data, i);
        assert_int_equal(channel_open(key, copy.data, copy.len, &len), -EBADMSG);
    }
    buf_clear(&copy);
    buf_append(&copy, sealed.data, sealed.len);
    assert_int_equal(channel_open(other, copy.data, copy.len, &len), -EBADMSG);
    assert_int_equal(channel_open(key, sealed.data, sealed.len, &len), 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(sealed.data, text, len);
}

/* ---- answers --------------------------------------------------------------------------------- */

struct seen {
    int status;
    struct buf data;
    size_t calls;
    size_t stop_after; /* 0: never */
};

static void on_status(void *arg, int status)
{
    struct seen *s = arg;

    assert_int_equal(s->status, 0);
    s->status = status;
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct seen *s = arg;

    assert_int_not_equal(s->status, 0);
    s->calls++;
    buf_append(&s->data, data, len);
}

static bool wanted(void *arg)
{
    const struct seen *s = arg;

    return s->stop_after == 0 || s->calls < s->stop_after;
}

static const struct channel_reader_handler handler = {on_status, on_data, wanted};

/* Reads an answer in pieces of so many bytes; whether it was whole in *ret_final. */
static int read_all(const struct buf *answer, size_t piece, struct seen *ret, bool *ret_final)
{
    struct channel_reader r;
    unsigned char key[CHANNEL_KEY_BYTES];
    int e = 0;

    key_of(&exchange, CHANNEL_ANSWER, key);
    buf_init(&ret->data, ANSWER_MAX);
    channel_reader_init(&r, key);
    for (size_t at = 0; e == 0 && at < answer->len; at += piece)
        e = channel_reader_feed(&r, answer->data + at, MIN(piece, answer->len - at), &handler, ret);
    *ret_final = r.final;
    channel_reader_done(&r);
    return e;
}

static void make_stream(struct buf *out)
{
    struct channel_writer w;
    unsigned char key[CHANNEL_KEY_BYTES];

    key_of(&exchange, CHANNEL_ANSWER, key);
    assert_int_equal(channel_writer_begin(&w, key, 200, out), 0);
    assert_int_equal(channel_writer_put(&w, "one\n", 4, false, out), 0);
    assert_int_equal(channel_writer_put(&w, "\n", 1, false, out), 0);
    assert_int_equal(channel_writer_put(&w, "two\n", 4, true, out), 0);
}

static void a_stream_is_read_in_any_pieces(void **state)
{
    cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX);

    make_stream(&answer);
    for (size_t piece = 1; piece <= answer.len; piece++) {
        struct seen s = {0};
        bool final;

        assert_int_equal(read_all(&answer, piece, &s, &final), 0);
        assert_true(final);
        assert_int_equal(s.status, 200);
        assert_string_equal(buf_str(&s.data), "one\n\ntwo\n");
        buf_done(&s.data);
    }
}

static void a_cut_stream_is_not_whole(void **state)
{
    cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX);

    make_stream(&answer);
    while (answer.len > 0) {
        struct seen s = {0};
        bool final;

        answer.len--;
        assert_int_equal(read_all(&answer, 7, &s, &final), 0);
        assert_false(final);
        buf_done(&s.data);
    }
}

static void no_byte_may_change(void **state)
{
    cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX);

    make_stream(&answer);
    for (size_t i = 0; i < answer.len; i++) {
        struct seen s = {0};
        bool final;
        int e;

        answer.data[i] ^= 4;
        e = read_all(&answer, 1000, &s, &final);
        /* A longer length is no error: the reader waits for bytes that do not come. */
        assert_false(e == 0 && final);
        assert_true(strncmp("one\n\ntwo\n", buf_str(&s.data), s.data.len) == 0);
        answer.data[i] ^= 4;
        buf_done(&s.data);
    }
}

static void nothing_follows_the_last_frame(void **state)
{
    cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX);
    struct seen s = {0};
    bool final;

    make_stream(&answer);
    buf_putc(&answer, 'x');
    assert_int_equal(read_all(&answer, 1000, &s, &final), -EBADMSG);
    buf_done(&s.data);
}

static void lengths_have_limits(void **state)
{
    cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX);
    struct seen s = {0};
    bool final;

    make_stream(&answer);
    answer.data[CHANNEL_HEADER_BYTES + 3] = 1; /* 16 MiB */
    answer.len = CHANNEL_HEADER_BYTES + 4;
    assert_int_equal(read_all(&answer, 1000, &s, &final), -EBADMSG);
    buf_done(&s.data);
}

static void whole_answers_may_be_long_or_empty(void **state)
{
    static const size_t lengths[] = {0, 1, CHANNEL_FRAME_MAX, CHANNEL_FRAME_MAX + 1, 200000};
    unsigned char key[CHANNEL_KEY_BYTES];
    static char text[200000];

    key_of(&exchange, CHANNEL_ANSWER, key);
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX), small = BUF_INIT(40);
        struct seen s = {0};
        bool final;

        assert_int_equal(channel_answer(key, 409, text, lengths[i], &answer), 0);
        assert_int_equal(read_all(&answer, 60000, &s, &final), 0);
        assert_true(final);
        assert_int_equal(s.status, 409);
        assert_int_equal(s.data.len, lengths[i]);
        buf_done(&s.data);
        assert_int_equal(channel_answer(key, 409, text, lengths[i], &small), -ENOBUFS);
    }
}

static void a_reader_stops_where_it_is_told(void **state)
{
    cleanup_buf struct buf answer = BUF_INIT(ANSWER_MAX);
    struct seen s = {.stop_after = 1};
    bool final;

    make_stream(&answer);
    assert_int_equal(read_all(&answer, 1000, &s, &final), 0);
    assert_string_equal(buf_str(&s.data), "one\n");
    assert_false(final);
    buf_done(&s.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_agree),
        cmocka_unit_test(keys_of_small_order_are_refused),
        cmocka_unit_test(a_key_has_one_text),
        cmocka_unit_test(each_exchange_has_its_keys),
        cmocka_unit_test(a_body_opens_only_whole_and_unchanged),
        cmocka_unit_test(a_stream_is_read_in_any_pieces),
        cmocka_unit_test(a_cut_stream_is_not_whole),
        cmocka_unit_test(no_byte_may_change),
        cmocka_unit_test(nothing_follows_the_last_frame),
        cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(whole_answers_may_be_long_or_empty),
        cmocka_unit_test(a_reader_stops_where_it_is_told),
    };

    if (signature_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
