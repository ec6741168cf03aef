/*
 * Reads files for kube_config: whole files, PEM texts, tokens, and the kubeconfig format (YAML).
 * Only config.c uses it.
 */
#ifndef ARL_OPERATOR_AUTH_CONFIG_FILE_H
#define ARL_OPERATOR_AUTH_CONFIG_FILE_H

#include "operator/auth/config.h"

/* A whole file, NUL-terminated, at most KUBE_CONFIG_FILE_BYTES; *ret is to be freed. */
int config_read_file(const char *path, char **ret, struct err *err);
/* The same; the file must have PEM text, or one word. */
int config_read_pem(const char *path, char **ret, struct err *err);
int config_read_token(const char *path, char **ret, struct err *err);

/* Fills ret from kubeconfig files, merged as by kubectl: the first file that names a thing wins. If
 * there are several files, missing ones are skipped. context NULL: current-context. */
int config_load_files(char *const *paths, size_t count, const char *context,
                      struct kube_config *ret, struct err *err);

#endif
