/*
 * Applies a patch to the files that it names, or to the one file of the step's path: all of it or
 * nothing. First all files are read and their new contents computed; then patch_put.h puts them in
 * their places. (Only a kill between two of its renames leaves a part of the patch.)
 *
 * Names are below the step's folder: absolute ones and ".." are refused. As with git apply, the
 * source of a copy or rename is the file as it was before the patch, and a patch may change one
 * file twice. A file that is made must not exist; a file that is deleted must end up empty.
 *
 * Limits: PATCH_BYTES_MAX for all files together, before and after the patch. Files above
 * HUNKS_FILE_MAX do not count: their text is not read.
 */
#ifndef ARL_SIDECAR_RUNNER_PATCH_FILES_H
#define ARL_SIDECAR_RUNNER_PATCH_FILES_H

#include "sidecar/runner/write_place.h"

#define PATCH_BYTES_MAX (64u << 20)

struct write_result patch_files(const struct write_spec *spec);

#endif
