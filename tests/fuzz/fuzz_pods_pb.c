/* Pods in protobuf, as something that is not the API server might send them: answers, lists, events
 * of a watch, and events whose end is not there. */
#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/pb.h"
#include "operator/api/pod.h"
#include "operator/kube/encoding.h"
#include "tests/fuzz/fuzz.h"
#include "tests/pb_write.h"

/* Written and read once more it is the same. */
static void round_trip(struct json_object *obj)
{
    cleanup_json struct json_object *again = NULL;
    cleanup_buf struct buf b = BUF_INIT(64u << 20);

    pb_write_tree(&b, api_pod.pb, obj);
    if (pb_tree(api_pod.pb, (struct pb_part){b.data, b.len}, 2 * LIMIT_JSON_TREE_BYTES, &again,
                NULL) == 0)
        property(json_object_equal(obj, again));
    else
        property(false);
}

static void decode(struct json_object *obj, bool whole)
{
    struct meta *m = NULL;
    struct err err = {0};

    if (api_pod.decode(obj, &m, &err) < 0)
        return;
    property(m->ns && m->name && m->uid && m->rv);
    property(m->cut || whole);
    if (!m->cut)
        round_trip(obj);
    api_pod.free(m);
}

static void on_item(struct json_object *obj, const struct err *why, void *arg)
{
    property(obj || why->msg[0]);
    if (obj)
        decode(obj, true);
}

static void read_event(const char *data, size_t size, bool head)
{
    cleanup_json struct json_object *ev = NULL;
    struct err err = {0};
    int r = head ? encoding_event_head(&api_pod, true, data, size, &ev, &err)
                 : encoding_event(&api_pod, true, data, size, &ev, &err);

    property((r == 0) == (ev != NULL) && (r == 0 || err.msg[0]));
    if (r == 0)
        decode(json_get(ev, "object"), !head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json struct json_object *obj = NULL;
    const char *text = (const char *)data + 1;

    if (size == 0)
        return 0;
    size--;
    switch (data[0] % 5) {
    case 0:
        if (encoding_object(&api_pod, text, size, &obj, NULL) == 0 && encoding_is_pb(text, size))
            decode(obj, true);
        break;
    case 1:
        if (encoding_is_pb(text, size))
            encoding_list(&api_pod, text, size, on_item, NULL, &obj, NULL);
        break;
    case 2:
        encoding_status(text, size, &obj);
        break;
    default:
        read_event(text, size, data[0] % 5 == 4);
        break;
    }
    return 0;
}
