/*
 * Reports that files may have changed. It watches their folders (inotify), because most programs
 * replace a file instead of writing into it, and Kubernetes replaces a symbolic link ("..data") for
 * all files of a volume at once. The report comes FILE_WATCH_SETTLE_MS after the last event, so
 * that a certificate and its key are read together, but at most FILE_WATCH_MAX_MS after the first
 * event.
 *
 * This is only a hint: a folder that cannot be watched, or that is itself replaced, gives no
 * report. So users read the files again from time to time as well.
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
