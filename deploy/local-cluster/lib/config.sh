# shellcheck shell=bash
# The configuration files of the node's daemons.

# make_config FOLDER: writes them all.
make_config() {
    mkdir -p "$1/cni"
    containerd_config "$1" >"$1/containerd.toml"
    cni_config >"$1/cni/10-arl.conflist"
    kubelet_config "$1" >"$1/kubelet.yaml"
    scheduler_config >"$1/scheduler.yaml"
    proxy_config >"$1/kube-proxy.yaml"
    # The cluster has no DNS server. The file only keeps the host's DNS servers out of the pods.
    printf 'nameserver %s\n' "$SERVICE_DNS" >"$1/resolv.conf"
    cat >"$1/node.env" <<Y
NAME=$NAME
ANY_IP=$ANY_IP
LINK_BITS=$LINK_BITS
HOST_IP=$HOST_IP
NODE_IP=$NODE_IP
SERVICE_NET=$SERVICE_NET
API_SERVER=$API_SERVER
NODE_BINARY=$NODE_BINARY
Y
}

# restrict_oom_score_adj: without it no pod sandbox starts if root lacks CAP_SYS_RESOURCE.
# disable_apparmor: else containerd loads a profile into the host's kernel, and leaves it there.
containerd_config() {
    local off=aufs\",\ \"io.containerd.snapshotter.v1.btrfs\",\ \"io.containerd.snapshotter.v1.zfs
    cat <<Y
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.$off", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/arl/pause:1"
  max_container_log_line_size = -1
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "crun"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
        SystemdCgroup = false
        BinaryName = "crun"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$1/cni"
Y
}

cni_config() {
    cat <<Y
{"cniVersion": "0.4.0", "name": "arl", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni",
            "ranges": [[{"subnet": "$POD_NET", "gateway": "$POD_GATEWAY"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
}

# Full disks evict no pods, since the disks are the host's. Low memory does: a test machine has little.
kubelet_config() {
    cat <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: "$ANY_IP"
authentication: {anonymous: {enabled: false}, webhook: {enabled: true, cacheTTL: 30s}, x509: {clientCAFile: $RUN_DIR/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $RUN_DIR/pki/kubelet-server.crt
tlsPrivateKeyFile: $RUN_DIR/pki/kubelet-server.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
cgroupsPerQOS: true
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: ["$SERVICE_DNS"]
resolvConf: $1/resolv.conf
maxPods: 250
serializeImagePulls: false
registryPullQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
eventRecordQPS: 0
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 64Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
shutdownGracePeriod: 0s
nodeStatusUpdateFrequency: 5s
volumePluginDir: /var/lib/kubelet/volumeplugins
Y
}

scheduler_config() {
    cat <<Y
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: $RUN_DIR/pki/kube-scheduler.kubeconfig, qps: 200, burst: 400}
Y
}

# With conntrack values of 0 kube-proxy does not change the host's settings.
proxy_config() {
    cat <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $RUN_DIR/pki/kube-proxy.kubeconfig}
mode: iptables
bindAddress: "$ANY_IP"
clusterCIDR: "$POD_NET"
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
Y
}
