/*
 * Reading for kube_config: whole files, PEM and tokens, and the kubeconfig format (YAML). Inner
 * part of config.c.
 */
#ifndef ARL_OPERATOR_AUTH_CONFIG_FILE_H
#define ARL_OPERATOR_AUTH_CONFIG_FILE_H

#include "operator/auth/config.h"

/* A whole file, NUL-terminated, at most KUBE_CONFIG_FILE_BYTES; *ret is to be freed. */
int config_read_file(const char *path, char **ret, struct err *err);
/* The same, for a file that has to hold PEM text, or one word. */
int config_read_pem(const char *path, char **ret, struct err *err);
int config_read_token(const char *path, char **ret, struct err *err);

/* Fills ret from kubeconfig files merged as kubectl does: the first one to name a thing wins. Files
 * that do not exist are skipped when there are several. context NULL: current-context. */
int config_load_files(char *const *paths, size_t count, const char *context,
                      struct kube_config *ret, struct err *err);

#endif
