# shellcheck shell=bash
# Names, folders and addresses of one local cluster, and the host's list of clusters.
# shellcheck disable=SC2034 # the other files use them

CLUSTER_VERSION=1.33.13
COMPONENTS=(containerd etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)

# Each cluster of the host has a number, whatever its name and state folder are. Its networks follow from the number.
# The list is in /run, so that a reboot, which ends all clusters, also empties the list.
HOST_LIST=/run/arl-cluster

# use_name NAME: sets the variables that follow from the name alone.
use_name() {
    [[ $1 =~ ^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$ ]] ||
        misuse "bad cluster name \"$1\": lower-case letters, digits and dashes, 32 at most"
    case $ARL_STATE/ in
    /run/* | /var/run/* | /var/lib/* | /var/log/*)
        die "ARL_STATE=$ARL_STATE: the node hides /run, /var/lib and /var/log, choose another folder" ;;
    /*) ;;
    *) die "ARL_STATE=$ARL_STATE: must be an absolute path" ;;
    esac
    NAME=$1
    RUN_DIR=$ARL_STATE/$NAME
    KUBECONFIG_FILE=$RUN_DIR/kubeconfig
    # The family of all addresses, 4 or 6. A cluster that is up has a file that says 6.
    FAMILY=4
    if [ -e "$RUN_DIR/ipv6" ]; then FAMILY=6; fi
}

# use_index N: sets the variables that follow from the cluster's number: the addresses, and names that must be unique on the host.
use_index() {
    INDEX=$1
    LINK=arlc$1
    CGROUP=arlc$1
    if [ "$FAMILY" = 6 ]; then use_ipv6 "$(printf 'fd00:a71:%x' "$1")"; else use_ipv4 "$1"; fi
}

use_ipv4() {
    ANY_IP=0.0.0.0
    HOST_IP=10.197.$1.1
    NODE_IP=10.197.$1.2
    LINK_BITS=30
    LINK_NET=10.197.$1.0/30
    POD_NET=10.198.$(($1 * 4)).0/22
    POD_GATEWAY=10.198.$(($1 * 4)).1
    SERVICE_NET=10.199.$(($1 * 4)).0/22
    SERVICE_API=10.199.$(($1 * 4)).1
    SERVICE_DNS=10.199.$(($1 * 4)).10
    API_SERVER=https://$NODE_IP:6443
}

use_ipv6() {
    ANY_IP=::
    HOST_IP=$1::1
    NODE_IP=$1::2
    LINK_BITS=64
    LINK_NET=$1::/64
    POD_NET=$1:1::/64
    POD_GATEWAY=$1:1::1
    SERVICE_NET=$1:2::/112
    SERVICE_API=$1:2::1
    SERVICE_DNS=$1:2::a
    API_SERVER=https://[$NODE_IP]:6443
}

# host_lock: takes the lock under which one command at a time may change the host. The last cluster removes the file: if the
# locked file is not the present one, the lock is taken again.
host_lock() {
    while :; do
        mkdir -p "$HOST_LIST"
        exec 9>"$HOST_LIST/lock" || die "cannot write to $HOST_LIST"
        flock -n 9 || { say "waiting for another cluster command to end (at most 300 s)"; flock -w 300 9; } ||
            die "another cluster command holds $HOST_LIST/lock"
        if [ /proc/self/fd/9 -ef "$HOST_LIST/lock" ]; then return; fi
    done
}

# host_unlock: releases the lock. Removes the list if it has no cluster.
host_unlock() {
    if ! compgen -G "$HOST_LIST/cluster-*" >/dev/null; then rm -rf "$HOST_LIST"; fi
    exec 9>&-
}

# find_index: sets the addresses of a cluster that has a number; fails if it has none.
find_index() {
    local f
    for f in "$HOST_LIST"/cluster-*; do
        if [ -f "$f" ] && [ "$(cat "$f")" = "$RUN_DIR" ]; then
            use_index "${f##*-}"
            return 0
        fi
    done
    return 1
}

# take_index: gives the cluster the first free number whose addresses the host does not use.
take_index() {
    local n
    for n in $(seq 0 63); do
        [ ! -e "$HOST_LIST/cluster-$n" ] || continue
        use_index "$n"
        if net_is_free "$LINK_NET" && net_is_free "$POD_NET" && net_is_free "$SERVICE_NET"; then
            printf '%s\n' "$RUN_DIR" >"$HOST_LIST/cluster-$n"
            return 0
        fi
    done
    die "all networks of local clusters are in use on this host: 10.197.0.0/16 to 10.199.0.0/16, or fd00:a71::/32"
}

net_is_free() {
    local inside around
    inside=$(ip "-$FAMILY" route show root "$1")
    around=$(ip "-$FAMILY" route show match "$1" | sed '/^default/d')
    [ -z "$inside$around" ]
}

# node_pid: prints the process id that the node's first process has on the host; nothing if the node does not run. It compares the
# command line, since the id may belong to another process by now.
node_pid() {
    local pid
    pid=$(cat "$RUN_DIR/node.pid" 2>/dev/null) || return 0
    if [ -n "$pid" ] && [[ "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" == *"/node $RUN_DIR "* ]]; then
        printf '%s\n' "$pid"
    fi
}

# node_exec COMMAND...: runs a command inside of the node.
node_exec() {
    local pid
    pid=$(node_pid)
    [ -n "$pid" ] || die "cluster \"$NAME\" is not up: run $CLUSTER_CMD up"
    nsenter -t "$pid" -m -r -p -n -u -i "$@"
}
