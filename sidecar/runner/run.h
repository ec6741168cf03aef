/* The runner: PID 1 of the user's container. */
#ifndef ARL_SIDECAR_RUNNER_RUN_H
#define ARL_SIDECAR_RUNNER_RUN_H

/*
 * Dials socket_path, again and again if need be, runs main_argv (NULL: none) once the sidecar has
 * answered, and what the sidecar asks for. Returns the exit status: the main command's own, or
 * 128 + 15 after SIGTERM.
 */
int runner_run(const char *socket_path, char **main_argv, char **env);

#endif
