#include "operator/core/refill_step.h"

#define CALM_NS (300 * NSEC_PER_MSEC) /* the claims of a burst come closer together than this */
#define REFILL_HOLD_MAX_NS (3 * NSEC_PER_SEC)
#define REST 8 /* what nobody waits for keeps a connection busy for an eighth of the time */
#define REST_MAX_NS (3 * NSEC_PER_SEC) /* claims may come without end */
#define SLOW_FACTOR 4
/* A create that takes this long is quick, however quick others were. */
#define QUICK_NS (20 * NSEC_PER_MSEC)
#define BEST_KEPT_NS (300 * NSEC_PER_SEC) /* the server may have got slower for good */

/* ---- what the API server takes --------------------------------------------------------------- */

static unsigned width_of(const struct refill *r)
{
    return r->width ? r->width : CREATES_AT_ONCE;
}

/* A create that was begun before the width was halved says nothing of the new width. */
static bool is_of_width(const struct refill *r, int64_t begun_mono_ns)
{
    return begun_mono_ns > r->narrowed_mono_ns;
}

static void set_width(struct refill *r, unsigned width)
{
    assert(width > 0 && width <= CREATES_AT_ONCE);
    r->width = width;
    r->quick = 0;
}

static void narrow(struct refill *r, int64_t now_mono_ns)
{
    set_width(r, MAX(width_of(r) / 2, 1u));
    r->narrowed_mono_ns = now_mono_ns;
}

/* Only if the width was used: else nobody knows whether the server takes more. */
static void widen(struct refill *r, size_t at_once)
{
    unsigned width = width_of(r);

    if (at_once < width || width == CREATES_AT_ONCE)
        return;
    if (++r->quick >= width)
        set_width(r, width + 1);
}

void refill_made(struct refill *r, size_t at_once, int64_t begun_mono_ns, int64_t now_mono_ns)
{
    int64_t took_ns = now_mono_ns - begun_mono_ns;

    assert(at_once > 0 && took_ns >= 0);
    if (r->best_ns == 0 || took_ns <= r->best_ns || now_mono_ns > r->best_mono_ns + BEST_KEPT_NS) {
        r->best_ns = took_ns;
        r->best_mono_ns = now_mono_ns;
    }
    r->took_ns = took_ns / (int64_t)at_once;
    if (!is_of_width(r, begun_mono_ns))
        return;
    if (r->took_ns > SLOW_FACTOR * MAX(r->best_ns, QUICK_NS))
        narrow(r, now_mono_ns);
    else
        widen(r, at_once);
}

void refill_failed(struct refill *r, int64_t begun_mono_ns, int64_t now_mono_ns)
{
    if (is_of_width(r, begun_mono_ns))
        narrow(r, now_mono_ns);
}

/* ---- claims ---------------------------------------------------------------------------------- */

int64_t refill_calm_at(size_t claims, int64_t claim_mono_ns, int64_t now_mono_ns)
{
    int64_t at = claims > 0 ? now_mono_ns + CALM_NS : claim_mono_ns ? claim_mono_ns + CALM_NS : 0;

    return at > now_mono_ns ? at : 0;
}

static int64_t calm_at(const struct refill *r, size_t claims, int64_t now_mono_ns)
{
    return refill_calm_at(claims, r->claim_mono_ns, now_mono_ns);
}

void refill_claimed(struct refill *r, bool taken, int64_t now_mono_ns)
{
    r->claim_mono_ns = now_mono_ns;
    if (taken && r->owed < AMONG_CLAIMS)
        r->owed++;
}

void refill_see_claims(struct refill *r, size_t claims, int64_t now_mono_ns)
{
    if (!calm_at(r, claims, now_mono_ns)) {
        r->claims_since_mono_ns = r->burst_since_mono_ns = 0;
        r->owed = 0;
        return;
    }
    if (r->claims_since_mono_ns == 0)
        r->claims_since_mono_ns = now_mono_ns;
    if (width_of(r) > AMONG_CLAIMS)
        set_width(r, AMONG_CLAIMS);
    if (claims > AMONG_CLAIMS) {
        r->burst_mono_ns = now_mono_ns;
        if (r->burst_since_mono_ns == 0)
            r->burst_since_mono_ns = now_mono_ns;
    } else if (now_mono_ns >= r->burst_mono_ns + CALM_NS) {
        r->burst_since_mono_ns = 0;
    }
}

int64_t refill_quiet_at(const struct refill *r, const struct refill_need *need, int64_t now_mono_ns)
{
    bool waits = !need->waited_for && now_mono_ns < r->claims_since_mono_ns + REFILL_HOLD_MAX_NS;

    return waits ? calm_at(r, need->claims, now_mono_ns) : 0;
}

/* ---- how many -------------------------------------------------------------------------------- */

/* Not for the pods of the claims under way: a claim that fails gives its pod back. */
static size_t room_of(size_t width, const struct refill_need *need)
{
    size_t room = width > need->creating ? width - need->creating : 0;
    size_t missing = need->missing > need->claims ? need->missing - need->claims : 0;

    return MIN(room, missing);
}

static size_t room_among_claims(const struct refill *r, const struct refill_need *need,
                                int64_t now_mono_ns, int64_t *ret_again_mono_ns)
{
    size_t room = room_of(need->claims > AMONG_CLAIMS ? 1 : width_of(r), need);

    assert(r->claims_since_mono_ns && width_of(r) <= AMONG_CLAIMS);
    if (r->burst_since_mono_ns && now_mono_ns < r->burst_since_mono_ns + REFILL_HOLD_MAX_NS)
        return 0;
    if (r->owed > 0 || room == 0)
        return MIN(room, r->owed);
    if (now_mono_ns >= r->more_mono_ns)
        return 1;
    *ret_again_mono_ns = MIN(*ret_again_mono_ns, r->more_mono_ns);
    return 0;
}

size_t refill_room(const struct refill *r, const struct refill_need *need, int64_t now_mono_ns,
                   int64_t *ret_again_mono_ns)
{
    *ret_again_mono_ns = 0;
    if (need->waited_for)
        return room_of(CREATES_AT_ONCE, need);
    *ret_again_mono_ns = calm_at(r, need->claims, now_mono_ns);
    if (*ret_again_mono_ns == 0)
        return room_of(need->elsewhere ? MIN(width_of(r), AMONG_CLAIMS) : width_of(r), need);
    return room_among_claims(r, need, now_mono_ns, ret_again_mono_ns);
}

/* When the next one may begin that no claim waits for. took_ns: the one before. */
static int64_t rest_until(int64_t took_ns, int64_t now_mono_ns)
{
    return now_mono_ns + MIN(REST * took_ns, REST_MAX_NS);
}

void refill_begun(struct refill *r, int64_t now_mono_ns)
{
    assert(r->owed <= AMONG_CLAIMS);
    if (r->owed == 0)
        r->more_mono_ns = rest_until(r->took_ns, now_mono_ns);
    else
        r->owed--;
}

/* ---- deletes --------------------------------------------------------------------------------- */

size_t refill_delete_room(const struct refill *r, size_t deleting, int64_t calm_mono_ns,
                          int64_t now_mono_ns, int64_t *ret_again_mono_ns)
{
    *ret_again_mono_ns = 0;
    if (calm_mono_ns == 0)
        return SIZE_MAX;
    if (deleting > 0)
        return 0; /* its end plans the pool */
    if (now_mono_ns >= r->delete_mono_ns)
        return 1 + r->deletes_refused;
    *ret_again_mono_ns = MIN(calm_mono_ns, r->delete_mono_ns);
    return 0;
}

void refill_delete_begun(struct refill *r, int64_t now_mono_ns)
{
    r->delete_mono_ns = rest_until(r->delete_took_ns, now_mono_ns);
}

void refill_deleted(struct refill *r, bool refused, int64_t took_ns)
{
    assert(took_ns >= 0);
    r->deletes_refused = refused ? r->deletes_refused + 1 : 0;
    r->delete_took_ns = took_ns;
}
