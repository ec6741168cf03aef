# shellcheck shell=bash
# What the benchmarks' scripts share: the cluster to look at, and the programs. Sourced after deploy/lib.sh and the local
# cluster's build.sh.

BENCH=$ARL_ROOT/tests/bench
CLUSTER=$ARL_ROOT/deploy/local-cluster/cluster

# use_cluster NAME: sets KUBECONFIG to the cluster's kubeconfig.
use_cluster() {
    KUBECONFIG=$("$CLUSTER" --name "$1" kubeconfig)
    export KUBECONFIG
}

# go_environment: sets what Go needs. GO_MINOR is that of find_go.
go_environment() {
    export GOCACHE=$ARL_CACHE/go/build GOMODCACHE=$ARL_CACHE/go/mod GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0
    find_go
}

# make_bench NAME: builds WORK/bench, and writes WORK/kubeconfig.json for it. NAME: a local cluster, whose kubectl is used if there is
# no other.
make_bench() {
    local kubectl=(kubectl)
    command -v kubectl >/dev/null || kubectl=("$CLUSTER" --name "$1" kubectl)
    go_environment
    (cd "$BENCH" && "$GO" build -o "$WORK/bench" .)
    (umask 077 && "${kubectl[@]}" config view --raw -o json >"$WORK/kubeconfig.json")
}

# The program's name has the digest of all that it is built from, so an old program is never used.
kwok_key() { cat "$BENCH"/kwok/go.{mod,sum} <(declare -f compile_kwok) | sha256sum | cut -c 1-16; }

# make_kwok: sets KWOK, and builds it if it is not in the cache.
make_kwok() {
    KWOK=$ARL_CACHE/bench/kwok-$(kwok_key)
    [ ! -x "$KWOK" ] || return 0
    mkdir -p "$ARL_CACHE/bench"
    local lock log=$ARL_CACHE/bench/build.log
    exec {lock}>"$ARL_CACHE/bench/lock"
    flock -w 1800 $lock || die "another build holds $ARL_CACHE/bench/lock"
    if [ ! -x "$KWOK" ]; then
        say "building KWOK from source: needs the network and some minutes. The result is kept in $ARL_CACHE."
        GO_MINOR=26 go_environment
        compile_kwok >"$log" 2>&1 || build_failed "$log"
        mv "$KWOK.part" "$KWOK"
    fi
    exec {lock}>&-
}

compile_kwok() (
    cd "$BENCH/kwok" && "$GO" mod download && "$GO" build -mod=readonly -trimpath -ldflags "-s -w" -o "$KWOK.part" sigs.k8s.io/kwok/cmd/kwok
)
