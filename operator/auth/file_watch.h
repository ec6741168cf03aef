/*
 * Tells when files may have changed, by watching their folders (inotify): files are replaced as
 * often as they are written, and Kubernetes swaps a symbolic link ("..data") for all files of a
 * volume at once. Told FILE_WATCH_SETTLE_MS after the last event, so that a certificate and its key
 * are seen together, but no later than FILE_WATCH_MAX_MS after the first.
 *
 * Only a hint: a folder that can not be watched, or that is itself replaced, is not, so whoever
 * uses this reads the files again from time to time as well.
 */
#ifndef ARL_OPERATOR_AUTH_FILE_WATCH_H
#define ARL_OPERATOR_AUTH_FILE_WATCH_H

#include "common/base/base.h"

#define FILE_WATCH_FILES 4 /* more are not watched */
#define FILE_WATCH_SETTLE_MS 100
#define FILE_WATCH_MAX_MS 1000

struct uv_loop_s;
struct file_watch;

/* paths: FILE_WATCH_FILES of them, each may be NULL. */
struct file_watch *file_watch_new(struct uv_loop_s *loop, const char *const *paths,
                                  void (*on_change)(void *arg), void *arg);
/* cb (may be NULL) when all is closed and freed. */
void file_watch_close(struct file_watch *w, void (*cb)(void *arg), void *arg);

#endif
