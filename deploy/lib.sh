# shellcheck shell=bash
# What the scripts of deploy/ and tests/ share. Sourced, never run.

ARL_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ARL_CACHE=${ARL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/arl}
ARL_STATE=${ARL_STATE:-/var/tmp/arl}
export ARL_ROOT ARL_CACHE ARL_STATE

# What compiling arl needs. The suites' further needs stand in tests/run, the local cluster's in its build.sh.
# shellcheck disable=SC2034
BUILD_PACKAGES=(gcc libc6-dev binutils meson ninja-build pkg-config git python3 ca-certificates
    libuv1-dev libcurl4-openssl-dev libmicrohttpd-dev libjson-c-dev libyaml-dev libsodium-dev)

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { warn "$@"; exit 1; }
# For wrong arguments; what may be given stands in the caller's usage().
misuse() { warn "$1 (see ${0##*/} --help)"; exit 2; }

need_root() { [ "$EUID" = 0 ] || die "must run as root: use sudo"; }

# need_packages REASON PACKAGE...: installs the Debian packages that are missing, and says so.
need_packages() {
    local reason=$1 p missing=()
    shift
    for p; do
        [ "$(dpkg-query -Wf '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "$reason needs the Debian packages: ${missing[*]}"
    need_root
    say "installing Debian packages for $reason: ${missing[*]}"
    local log
    log=$(mktemp)
    # Runlevel 1 keeps the packages' services from being started: no daemon of the host's is needed.
    if ! { apt_install "${missing[@]}" || { apt-get -q update && apt_install "${missing[@]}"; }; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        die "could not install: ${missing[*]}"
    fi
    rm -f "$log"
}

apt_install() {
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@"
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds. Says what it waits for if that takes more
# than a second; fails after SECONDS, so that no wait of these scripts is without an end.
wait_for() {
    local limit=$1 what=$2 start=$SECONDS told=
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $((SECONDS - start)) -ge "$limit" ]; then
            warn "gave up after $limit s waiting for $what"
            return 1
        fi
        if [ -z "$told" ] && [ $((SECONDS - start)) -ge 1 ]; then
            say "waiting for $what (at most $limit s)"
            told=1
        fi
        sleep 0.2
    done
}
