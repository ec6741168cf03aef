/*
 * Through which proxy the API server is reached, as Go's HTTP transport and so client-go decide it:
 * the cluster's proxy-url; without one, HTTPS_PROXY or HTTP_PROXY (by the server's scheme) unless
 * NO_PROXY names the server or it is this machine. libcurl would decide otherwise (ALL_PROXY,
 * domains with a leading dot, ports in NO_PROXY, NO_PROXY also against a proxy-url), so it is
 * never left to it. Inner part of config.c.
 */
#ifndef ARL_OPERATOR_AUTH_CONFIG_PROXY_H
#define ARL_OPERATOR_AUTH_CONFIG_PROXY_H

#include "common/base/base.h"
#include "common/base/err.h"

/* Checks a proxy's URL (http, https or socks5; none: http) and gives it as libcurl wants it: names
 * are looked up by a SOCKS proxy, as Go has it. The text may hold a password: errors do not. */
int config_proxy_parse(const char *url, char **ret, struct err *err);

/* Whether NO_PROXY's text leaves this server (an http or https URL) to no proxy. Also true for
 * localhost and loopback addresses. */
bool config_proxy_bypass(const char *no_proxy, const char *server);

#endif
