# shellcheck shell=bash
# What the scripts of deploy/ and tests/ share. Sourced, never run.

ARL_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ARL_CACHE=${ARL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/arl}
ARL_STATE=${ARL_STATE:-/var/tmp/arl}
export ARL_ROOT ARL_CACHE ARL_STATE

# The packages that compiling arl needs. Those of the suites are in tests/run, those of the local cluster in its build.sh.
# shellcheck disable=SC2034
BUILD_PACKAGES=(gcc libc6-dev binutils meson ninja-build pkg-config git python3 ca-certificates
    libuv1-dev libcurl4-openssl-dev libssl-dev libmicrohttpd-dev libjson-c-dev libyaml-dev libsodium-dev)

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { warn "$@"; exit 1; }
# misuse TEXT: ends the script because of wrong arguments. The caller's usage() says which ones are right.
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
    # Runlevel 1 keeps the packages from starting services: no daemon of the host is needed.
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

# wait_for SECONDS WHAT COMMAND...: waits until COMMAND succeeds, and fails after SECONDS. If it takes
# more than a second, it says what it waits for.
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

# --- Putting arl into a cluster. KUBECTL is the command that talks to the cluster.
KUBECTL=(kubectl)

# apply_arl OPERATOR-IMAGE SIDECAR-IMAGE [MANIFESTS]: applies the manifests with these images, and waits until the operator is ready.
apply_arl() {
    local overlay manifests=${3:-$ARL_ROOT/deploy/manifests}
    overlay=$(mktemp -d)
    cp "$manifests/image-fields.yaml" "$overlay"
    cat >"$overlay/kustomization.yaml" <<Y
resources: [$(realpath --relative-to="$(realpath "$overlay")" "$manifests")]
configurations: [image-fields.yaml]
images:
- {name: arl-operator, $(image_name "$1")}
- {name: arl-sidecar, $(image_name "$2")}
Y
    "${KUBECTL[@]}" apply -k "$overlay" || { rm -rf "$overlay"; die "could not apply the manifests"; }
    rm -rf "$overlay"
    wait_operator
}

# image_name NAME[:TAG|@DIGEST]: prints the image's name, tag and digest as kustomize wants them.
image_name() {
    local last=${1##*/}
    if [[ $last == *@* ]]; then
        printf 'newName: "%s", digest: "%s"' "${1%@*}" "${1##*@}"
    elif [[ $last == *:* ]]; then
        printf 'newName: "%s", newTag: "%s"' "${1%:*}" "${1##*:}"
    else
        printf 'newName: "%s", newTag: latest' "$1"
    fi
}

wait_operator() {
    say "waiting for the operator to become ready (at most 120 s)"
    "${KUBECTL[@]}" wait --for=condition=Established --timeout=30s \
        crd/warmpools.arl.infra.io crd/sandboxes.arl.infra.io crd/tasks.arl.infra.io >/dev/null &&
        "${KUBECTL[@]}" -n arl-system rollout status deployment/arl-operator --timeout=120s >/dev/null && return 0
    show_operator
    die "the operator did not become ready"
}

# show_operator: prints what to look at when something is wrong: the operator's pods, Events and log.
show_operator() {
    {
        "${KUBECTL[@]}" -n arl-system get pods -o wide
        "${KUBECTL[@]}" -n arl-system get events --sort-by=.lastTimestamp | tail -n 8
        printf -- '--- the operator says:\n'
        "${KUBECTL[@]}" -n arl-system logs -l app.kubernetes.io/component=operator --prefix --tail=20
    } >&2 || true
}

# deploy_local CLUSTER-NAME: builds the images, loads them into that local cluster and applies the manifests.
deploy_local() {
    local work rc=0
    work=$(mktemp -d)
    "$ARL_ROOT/deploy/images/build" -o "$work" || { rm -rf "$work"; exit 1; }
    # The caller goes on with KUBECTL. deploy_archives sets it, too, but only for the subshell.
    KUBECTL=("$ARL_ROOT/deploy/local-cluster/cluster" --name "$1" kubectl)
    (deploy_archives "$1" "$work") || rc=$?
    rm -rf "$work"
    [ $rc = 0 ] || exit $rc
}

# deploy_archives CLUSTER-NAME FOLDER [MANIFESTS]: loads the archives of the folder into a local cluster, and applies the manifests.
# The tags have a digest of the image, so that a changed image replaces the one that runs.
deploy_archives() {
    local cluster=("$ARL_ROOT/deploy/local-cluster/cluster" --name "$1") name image images=()
    KUBECTL=("${cluster[@]}" kubectl)
    "${cluster[@]}" load "$2"/arl-{operator,sidecar}.tar || exit 1
    for name in arl-operator arl-sidecar; do
        image=localhost/arl/$name:dev-$(sha256sum "$2/$name.tar" | cut -c 1-12)
        "${cluster[@]}" exec ctr -n k8s.io images tag --force "localhost/arl/$name:dev" "$image" >/dev/null
        images+=("$image")
    done
    apply_arl "${images[@]}" "${3:-}"
}
