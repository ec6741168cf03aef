/*
 * Chooses the proxy to the API server by the rules of Go's HTTP transport and client-go: the
 * proxy-url of the cluster; without one HTTPS_PROXY or HTTP_PROXY (by the server's scheme), unless
 * NO_PROXY names the server or the server is this machine. libcurl has other rules (ALL_PROXY,
 * domains with a leading dot, ports in NO_PROXY, NO_PROXY also against a proxy-url), so it never
 * decides. Only config.c uses this.
 */
#ifndef ARL_OPERATOR_AUTH_CONFIG_PROXY_H
#define ARL_OPERATOR_AUTH_CONFIG_PROXY_H

#include "common/base/base.h"
#include "common/base/err.h"

/* Checks the URL of a proxy (http, https or socks5; without a scheme: http) and returns it in
 * libcurl's form. As with Go, a SOCKS proxy looks up names itself. The URL may have a password, and
 * errors never show it. */
int config_proxy_parse(const char *url, char **ret, struct err *err);

/* Whether this server (an http or https URL) needs no proxy: NO_PROXY names it, or it is localhost
 * or a loopback address. */
bool config_proxy_bypass(const char *no_proxy, const char *server);

#endif
