# shellcheck shell=bash
# up and down: all that a cluster has on the host is made and removed here.
# shellcheck disable=SC2317 # wait_for calls functions by name

# Settings of the host that the kubelet changes: down restores them.
HOST_SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys
    kernel.keys.root_maxbytes)
READY_LIMIT_S=180

cluster_up() {
    prepare
    host_lock
    if [ -n "$(node_pid)" ]; then
        [ "$FAMILY" = 4 ] || [ -e "$RUN_DIR/ipv6" ] || die "cluster \"$NAME\" is up already, with IPv4 addresses"
        find_index || die "$RUN_DIR is in use, but $HOST_LIST does not know it: run $CLUSTER_CMD down"
        say "cluster \"$NAME\" is already up"
    else
        remove_traces # of a node that crashed
        trap 'trap - INT TERM EXIT; warn "interrupted: removing what was made"; remove_traces; host_unlock; exit 130' INT TERM
        trap 'stop_node' EXIT
        start_node
        import_images "$SYSTEM_IMAGES"/*.tar >/dev/null
    fi
    wait_ready || { show_logs; die "cluster \"$NAME\" did not become ready; logs: $RUN_DIR/logs"; }
    trap - INT TERM EXIT
    host_unlock
    say "cluster \"$NAME\" is ready; export KUBECONFIG=$KUBECONFIG_FILE"
}

start_node() {
    say "starting cluster \"$NAME\""
    mkdir -p "$RUN_DIR"/{conf,etcd,logs,pids}
    chmod 700 "$RUN_DIR" "$RUN_DIR/etcd"
    if [ "$FAMILY" = 6 ]; then touch "$RUN_DIR/ipv6"; fi
    [ "$(stat -f -c %T "$RUN_DIR")" != overlayfs ] ||
        die "$RUN_DIR lies on an overlay file system, where containers cannot: set ARL_STATE to another folder"
    take_index
    save_sysctls
    make_pki "$RUN_DIR/pki" # not in a condition, where "set -e" has no effect inside of make_pki
    cp -p "$RUN_DIR/pki/admin.kubeconfig" "$KUBECONFIG_FILE"
    chmod 600 "$KUBECONFIG_FILE"
    make_config "$RUN_DIR/conf"
    make_cgroups
    modprobe -qa overlay br_netfilter ip_tables iptable_nat nf_conntrack veth 2>/dev/null || true
    launch_node
    ip link add "$LINK" type veth peer name eth0 netns "$(node_pid)"
    if [ "$FAMILY" = 6 ]; then ip addr add "$HOST_IP/$LINK_BITS" dev "$LINK" nodad; else ip addr add "$HOST_IP/$LINK_BITS" dev "$LINK"; fi
    ip link set "$LINK" up
    ip route add "$POD_NET" via "$NODE_IP"
    ip route add "$SERVICE_NET" via "$NODE_IP"
}

# launch_node: starts the node's first process. It inherits no environment, which may name proxies, no terminal, and no lock.
launch_node() {
    local unshare_pid
    setsid env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 unshare --mount --pid --net --uts --ipc --fork --kill-child \
        --mount-proc "$CLUSTER_DIR/node" "$RUN_DIR" "" </dev/null >"$RUN_DIR/logs/node.log" 2>&1 9>&- &
    unshare_pid=$!
    disown
    find_child() {
        pgrep -P "$unshare_pid" >"$RUN_DIR/node.pid" && [ -n "$(node_pid)" ]
    }
    wait_for 10 "the node's first process" find_child || die "the node did not start: $(cat "$RUN_DIR/logs/node.log")"
}

import_images() {
    wait_for 30 "containerd" node_exec ctr version || { show_logs; die "containerd does not answer"; }
    local archive
    for archive; do
        # By standard input, since the node does not see all of the host's folders.
        node_exec ctr -n k8s.io images import - <"$archive" 2>&1 | tee "$RUN_DIR/logs/import.log" |
            sed -n 's/^unpacking \([^ ]*\).*/loaded \1/p' || die "$archive: import failed: $(tail -n 1 "$RUN_DIR/logs/import.log")"
    done
}

kubectl_() { KUBECONFIG=$KUBECONFIG_FILE "$NODE_BINARY" kubectl "$@"; }

# is_ready: the node is Ready and has no taints, and there is the service account that pods need.
is_ready() {
    [ "$(kubectl_ get node "$NAME" --request-timeout=5s -o \
        'jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints[*].key}' 2>/dev/null)" = True ] &&
        kubectl_ -n default get serviceaccount default --request-timeout=5s >/dev/null 2>&1
}

# wait_ready: waits until the cluster is ready. Fails at once if the node dies.
wait_ready() {
    is_ready_or_dead() { [ -z "$(node_pid)" ] || is_ready; }
    wait_for $READY_LIMIT_S "Kubernetes to become ready" is_ready_or_dead && [ -n "$(node_pid)" ]
}

show_logs() {
    local f
    for f in "$RUN_DIR"/logs/*.log; do
        [ -s "$f" ] || continue
        printf -- '--- the end of %s\n' "$f"
        tail -n 5 "$f" | cut -c 1-400
    done >&2
}

cluster_down() {
    [ -e "$RUN_DIR" ] || [ -d "$HOST_LIST" ] || { say "cluster \"$NAME\" is not up"; return 0; }
    host_lock
    local was=
    [ -e "$RUN_DIR" ] && was=1
    remove_traces
    host_unlock
    if [ -n "$was" ]; then say "cluster \"$NAME\" is down"; else say "cluster \"$NAME\" is not up"; fi
}

# remove_traces: ends the node, and removes all that the node and `up` have made, however far they came.
remove_traces() {
    stop_node
    if find_index; then
        # The kernel removes the network link some time after the node's last process has ended.
        wait_for 3 "the network link to vanish" link_is_gone >/dev/null 2>&1 || ip link del "$LINK" 2>/dev/null || true
        wait_for 10 "the network link to vanish" link_is_gone || die "link $LINK remains"
        wait_for 15 "the control groups to become empty" no_cgroups || die "control groups $CGROUP remain"
    fi
    if [ -d "$RUN_DIR" ]; then rm -rf --one-file-system "$RUN_DIR"; fi
    rmdir "$ARL_STATE" 2>/dev/null || true
    if [ -n "${INDEX:-}" ]; then rm -f "$HOST_LIST/cluster-$INDEX"; fi
    if ! compgen -G "$HOST_LIST/cluster-*" >/dev/null; then restore_sysctls; fi
}

# stop_node: ends the node's first process. All others of its PID namespace end with it.
stop_node() {
    local pid
    pid=$(node_pid)
    [ -n "$pid" ] || return 0
    kill -KILL "$pid"
    node_is_gone() { [ ! -e "/proc/$pid" ]; }
    wait_for 30 "the node's processes to end" node_is_gone || die "process $pid does not end"
}

link_is_gone() { ! ip link show "$LINK" >/dev/null 2>&1; }

save_sysctls() {
    [ ! -e "$HOST_LIST/sysctls" ] || return 0
    sysctl -e "${HOST_SYSCTLS[@]}" >"$HOST_LIST/sysctls"
}

restore_sysctls() {
    [ -e "$HOST_LIST/sysctls" ] || return 0
    sysctl -q -p "$HOST_LIST/sysctls" || warn "could not restore the host's settings: $(cat "$HOST_LIST/sysctls")"
    rm -f "$HOST_LIST/sysctls"
}

# cgroup_trees: prints the mounted cgroup trees: the tree of version 2, or a tree for each controller of version 1.
cgroup_trees() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        awk '$3 == "cgroup" && $2 ~ "^/sys/fs/cgroup/" {print $2}' /proc/mounts
    fi
}

make_cgroups() {
    local tree controller
    for tree in $(cgroup_trees); do
        mkdir -p "$tree/$CGROUP"
        # All pods of a node should weigh as much as all of its daemons. But each thread of the daemons weighs 1024 here: without
        # this, all pods together would get only as much as one thread when the processors are busy.
        if [ -e "$tree/$CGROUP/cpu.shares" ]; then echo 20480 >"$tree/$CGROUP/cpu.shares"; fi
        if [ -e "$tree/cgroup.subtree_control" ]; then
            # The kubelet needs these controllers below its root. They are enabled one by one, since a kernel may lack some.
            for controller in cpuset cpu io memory hugetlb pids; do
                echo "+$controller" >"$tree/cgroup.subtree_control" 2>/dev/null || true
            done
            echo 2000 >"$tree/$CGROUP/cpu.weight" 2>/dev/null || true
        fi
    done
}

# no_cgroups: removes the cluster's empty cgroups. Fails while one is left.
no_cgroups() {
    local tree left=
    for tree in $(cgroup_trees); do
        [ -d "$tree/$CGROUP" ] || continue
        find "$tree/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null
        if [ -d "$tree/$CGROUP" ]; then left=1; fi
    done
    [ -z "$left" ]
}
