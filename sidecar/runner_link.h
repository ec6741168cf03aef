/*
 * The runners: one unix socket a container, one runner on each. Whoever dials first, before any
 * user code exists in the container, is the runner; after that only the holder of the random token
 * that it came with is let in again, until the runner is seen to go (which ends its container, and
 * the token with it). What comes from a runner is hostile input.
 *
 * Callbacks come from the loop. Limits: LIMIT_CONTAINERS; FRAMES_MAX; RUNNER_DIALS_MAX callers that
 * have not said who they are (the oldest goes).
 */
#ifndef ARL_SIDECAR_RUNNER_LINK_H
#define ARL_SIDECAR_RUNNER_LINK_H

#include "common/base.h"
#include "common/err.h"
#include "common/task_proto.h"
#include "sidecar/journal.h"
#include "sidecar/runner/frames.h"

#define RUNNER_DIALS_MAX 8

struct uv_loop_s;
struct runner_links;

struct runner_links_opts {
    const char *dir;               /* holds a folder for each container: DIR/NAME/sock */
    const char *const *containers; /* not copied; outlives the links */
    size_t container_count;
    struct journal *journal;
    void (*on_ready)(size_t container, void *arg);
    void (*on_lost)(size_t container, const char *why, void *arg);
    void (*on_refused)(size_t container, const char *why, void *arg);
    void (*on_out)(size_t container, uint64_t id, int fd, const char *data, size_t len, void *arg);
    void (*on_done)(size_t container, uint64_t id, enum frame_how how, uint32_t value,
                    int64_t duration_ns, void *arg);
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
