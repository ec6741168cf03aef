/* The runner: PID 1 of the user's container. */
#ifndef ARL_SIDECAR_RUNNER_RUN_H
#define ARL_SIDECAR_RUNNER_RUN_H

/*
 * Connects to socket_path, again and again if necessary. Starts main_argv (NULL: none) when the
 * sidecar has answered, and the steps that the sidecar sends. Returns the exit status: that of the
 * main command, or 128 + 15 after SIGTERM.
 */
int runner_run(const char *socket_path, char **main_argv, char **env);

#endif
