/*
 * The work of a FilePatch step in its own process: it writes a whole file (replace.h), or applies a
 * patch to one or several files (patch_files.h). walk.h says which symbolic links are followed;
 * their targets must exist. Only regular files are replaced.
 */
#ifndef ARL_SIDECAR_RUNNER_WRITE_FILE_H
#define ARL_SIDECAR_RUNNER_WRITE_FILE_H

#include "sidecar/runner/write_place.h"

/* Makes missing folders with mode 0755, and removes them if it fails. Writes notes about a patch,
 * such as hunks that were moved, to standard output. */
struct write_result write_file(const struct write_spec *spec);

#endif
