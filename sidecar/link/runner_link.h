/*
 * The connections to the runners: each container has one unix socket and one runner. All that a
 * runner sends is hostile input.
 *
 *             the secret is presented, and removed              the connection ends
 *   WAITING ─────────────────────────────────────────▶ IN ───────────────────────────▶ RENEWED
 *      ▲     the door is shut: no socket, no callers        door and callers are shut,     │
 *      └──────────────── a fresh secret in a fresh folder, a door there ◀──────────────────┘
 *
 * The caller that presents the secret of this life of the container is the runner, whoever called
 * first. No other code can present it, not even as root in the container, and not with the help of
 * another container:
 * - The init container or the sidecar has made the secret. It is in the journal and in the folder
 * of the container (runner_folder.h), which only that container mounts.
 * - The sidecar removes it from the folder before it welcomes the runner. Until then no code of the
 *   user runs in that container. Afterwards the secret is in the memory of the runner, which is not
 *   dumpable.
 * - Code can pass descriptors to other containers over a volume: a connection to the socket, the
 *   folder of the socket, the socket. They are useless in the container's next life: when the
 *   runner is lost, the sidecar first closes the door and all callers, and makes the next secret
 *   and door in another folder. Code of the old life that still runs for a moment does not see that
 *   folder either.
 * - The door is open only while no runner is in. Otherwise there is no socket to connect to.
 *
 * A sidecar that starts again lets in the runner that knows the last secret. If that runner does
 * not come within RUNNER_ABSENT_MS, its container has started again meanwhile: the link is renewed,
 * and a runner in the old folder ends by itself. Programs that the template lets the kubelet run at
 * the start (hooks, probes) may see the secret: they are the template's own code.
 *
 * Callbacks come from the loop. Limits: LIMIT_CONTAINERS; FRAMES_MAX; RUNNER_DIALS_MAX callers that
 * have not presented a secret yet (one more sends the oldest one away), each with RUNNER_HELLO_MS
 * and FRAMES_HELLO_BYTES.
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
/* If a new folder could not be made, the next try comes after this time. Until then the container
 * has no runner. */
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
    /* Code in the container can cause this as often as it likes while the door is open. */
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
/* Both return 0, or -E2BIG if the step does not fit into a frame. If the container is not ready,
 * they send nothing. label: the step's name in the container's log. */
int runner_exec(struct runner_links *links, size_t container, uint64_t id, const char *label,
                const char *work_dir, const struct task_step *step);
int runner_write(struct runner_links *links, size_t container, uint64_t id, const char *path,
                 const struct task_step *step);
void runner_kill(struct runner_links *links, size_t container, uint64_t id, int64_t grace_ms);
/* Frees buffers that are kept for the next read. */
void runner_links_trim(struct runner_links *links);
/* Cuts the connection; on_lost comes before this returns. */
void runner_drop(struct runner_links *links, size_t container, const char *why);

#endif
