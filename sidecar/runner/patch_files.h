/*
 * Applies a patch to the files that it names, or to the one file of the step's path: all of it or
 * nothing. Everything is read and worked out before anything is written, and patch_put.h puts it in
 * its place. (Only a kill between two of its moves leaves a part.)
 *
 * Names are below the step's folder: absolute ones and ".." are refused. As with git apply, the
 * source of a copy or rename is the file as it was before the patch, and a patch may change one
 * file twice. A file that is made must not be there; one that is deleted must end up empty.
 *
 * Limits: PATCH_BYTES_MAX for all files before and after the patch together, but for those above
 * HUNKS_FILE_MAX, whose text is not read.
 */
#ifndef ARL_SIDECAR_RUNNER_PATCH_FILES_H
#define ARL_SIDECAR_RUNNER_PATCH_FILES_H

#include "sidecar/runner/write_file.h"

#define PATCH_BYTES_MAX (64u << 20)

struct write_result patch_files(const struct write_spec *spec);

#endif
