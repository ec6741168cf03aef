# shellcheck shell=bash
# The cluster's certificates and kubeconfigs: one authority for everything, one for the front proxy.

# make_pki FOLDER: fills the folder. The subshell gives each step its own working directory.
make_pki() (
    set -e
    mkdir -p "$1"
    chmod 700 "$1"
    cd "$1"
    make_ca ca arl-local-ca
    make_ca front-proxy-ca arl-local-front-proxy-ca
    make_key sa
    openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
    local names="DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc" node="/O=system:nodes/CN=system:node:$NAME"
    names+=",DNS:kubernetes.default.svc.cluster.local,DNS:localhost,DNS:$NAME,IP:127.0.0.1,IP:$SERVICE_API,IP:$NODE_IP"
    make_cert apiserver ca /CN=kube-apiserver serverAuth "$names"
    make_cert apiserver-kubelet ca /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
    make_cert front-proxy front-proxy-ca /CN=front-proxy-client clientAuth
    make_cert kubelet-server ca "$node" serverAuth "DNS:$NAME,IP:$NODE_IP"
    local user
    for user in "admin:/O=system:masters/CN=kubernetes-admin" "kubelet:$node" "kube-proxy:/CN=system:kube-proxy" \
        kube-controller-manager:/CN=system:kube-controller-manager kube-scheduler:/CN=system:kube-scheduler; do
        make_cert "${user%%:*}" ca "${user#*:}" clientAuth
        make_kubeconfig "${user%%:*}" >"${user%%:*}.kubeconfig"
    done
)

make_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# make_ca FILE COMMON-NAME
make_ca() {
    make_key "$1"
    openssl req -x509 -new -key "$1.key" -days 3650 -subj "/CN=$2" -out "$1.crt" \
        -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign
}

# make_cert FILE CA SUBJECT EXTENDED-USAGE [NAMES]
make_cert() {
    local extensions="keyUsage=critical,digitalSignature,keyEncipherment"$'\n'"extendedKeyUsage=$4"
    [ -z "${5:-}" ] || extensions+=$'\n'"subjectAltName=$5"
    make_key "$1"
    openssl req -new -key "$1.key" -subj "$3" |
        openssl x509 -req -CA "$2.crt" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 8)" -days 3650 \
            -extfile <(printf '%s\n' "$extensions") -out "$1.crt" 2>/dev/null
}

# make_kubeconfig USER: prints a kubeconfig for the user.
make_kubeconfig() {
    cat <<Y
apiVersion: v1
kind: Config
clusters: [{name: local-$NAME, cluster: {server: "$API_SERVER", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: local-$NAME, context: {cluster: local-$NAME, user: $1}}]
current-context: local-$NAME
Y
}
