/*
 * The runners: one unix socket a container, one runner on each. What comes from a runner is hostile
 * input.
 *
 *             the secret is presented, and removed              the connection ends
 *   WAITING ─────────────────────────────────────────▶ IN ───────────────────────────▶ RENEWED
 *      ▲     the door is shut: no socket, no callers        door and callers are shut,     │
 *      └──────────────── a fresh secret in a fresh folder, a door there ◀──────────────────┘
 *
 * Who is the runner is not who comes first. It is who presents the secret of this life of the
 * container. Why nobody else can, even as root in the container, even with help from another one:
 * - The secret was made by the init container or by us, and stands in the journal and in the
 *   container's folder (runner_folder.h), which only that container mounts.
 * - It is removed from there before the runner is welcomed, and before that no code of the user's
 *   runs in that container. Afterwards it is in the runner's memory, which is not dumpable.
 * - Descriptors can be passed to other containers over a volume: a connection to the socket, the
 *   socket's folder, the socket. So none of them is of use in the container's next life: when the
 *   runner is lost, its door and all callers are closed first, and the next secret and door are in
 *   another folder. Code of the old life that still runs for a moment does not see that one either.
 * - A door stands open only as long as no runner is in: otherwise there is nothing to dial.
 *
 * A sidecar that comes up lets the runner in again that knows the secret of before. If it does not
 * come within RUNNER_ABSENT_MS, its container has begun anew meanwhile: the link is renewed, and a
 * runner in the old folder ends by itself. What the template itself has the kubelet run at the
 * start (hooks, probes) may see the secret: that is the template's own code.
 *
 * Callbacks come from the loop. Limits: LIMIT_CONTAINERS; FRAMES_MAX; RUNNER_DIALS_MAX callers that
 * have not said who they are (the oldest goes), each for RUNNER_HELLO_MS and FRAMES_HELLO_BYTES.
 */
#ifndef ARL_SIDECAR_LINK_RUNNER_LINK_H
#define ARL_SIDECAR_LINK_RUNNER_LINK_H

#include "common/base/base.h"
#include "common/base/err.h"
#include "common/wire/task_proto.h"
#include "sidecar/disk/journal.h"
#include "sidecar/runner/frames.h"

#define RUNNER_DIALS_MAX 8
#define RUNNER_HELLO_MS 1000
#define RUNNER_ABSENT_MS 30000
/* After a fresh folder could not be made: nobody is let in until the next try. */
#define RUNNER_RENEW_AGAIN_MS 5000

struct uv_loop_s;
struct runner_links;

struct runner_links_opts {
    const char *dir;               /* holds a folder for each container: DIR/NAME/sock */
    const char *const *containers; /* not copied; outlives the links */
    size_t container_count;
    struct journal *journal;
    void (*on_ready)(size_t container, void *arg);
    void (*on_lost)(size_t container, const char *why, void *arg);
    /* Code in the container can call this as often as it likes while there is a door. */
    void (*on_refused)(size_t container, const char *why, void *arg);
    /* The container can have no runner for now. */
    void (*on_trouble)(size_t container, const char *why, void *arg);
    void (*on_out)(size_t container, uint64_t id, int fd, const char *data, size_t len, void *arg);
    void (*on_done)(size_t container, uint64_t id, enum frame_how how, uint32_t value,
                    const char *text, int64_t duration_ns, void *arg);
    void *arg;
};

int runner_links_new(struct uv_loop_s *loop, const struct runner_links_opts *opts,
                     struct runner_links **ret, struct err *err);
/* No callback comes after this but cb. */
void runner_links_close(struct runner_links *links, void (*cb)(void *arg), void *arg);

bool runner_ready(const struct runner_links *links, size_t container);
/* Both give 0, or -E2BIG for what fits into no frame. To a container that is not ready nothing is
 * sent. */
/* label: what the step is called in the container's log. */
int runner_exec(struct runner_links *links, size_t container, uint64_t id, const char *label,
                const char *work_dir, const struct task_step *step);
int runner_write(struct runner_links *links, size_t container, uint64_t id, const char *path,
                 const struct task_step *step);
void runner_kill(struct runner_links *links, size_t container, uint64_t id, int64_t grace_ms);
/* Gives back what was kept for the next read. */
void runner_links_trim(struct runner_links *links);
/* Cuts the connection; on_lost comes before this returns. */
void runner_drop(struct runner_links *links, size_t container, const char *why);

#endif
