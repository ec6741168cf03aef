/* Writing a whole file at once: readers see the old one or the new one, never a part. */
#ifndef ARL_SIDECAR_RUNNER_WRITE_FILE_H
#define ARL_SIDECAR_RUNNER_WRITE_FILE_H

#include "common/base.h"

/* Writes content to path with mode 0644; folders that are missing are made with mode 0755. Returns
 * 0 or a positive errno value, and leaves nothing half done but folders. */
int write_file(const char *path, const void *content, size_t len);

#endif
