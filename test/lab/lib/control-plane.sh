# shellcheck shell=bash
# etcd and kube-apiserver: for the node, and as a pair on 127.0.0.1 for integration tests (no node, no namespaces).

etcd_arguments() { # <data folder> <client port> <peer port>
  printf '%s\n' etcd --name=lab "--data-dir=$1" --unsafe-no-fsync --log-level=warn \
    "--listen-client-urls=http://127.0.0.1:$2" "--advertise-client-urls=http://127.0.0.1:$2" \
    "--listen-peer-urls=http://127.0.0.1:$3" "--initial-advertise-peer-urls=http://127.0.0.1:$3" \
    "--initial-cluster=lab=http://127.0.0.1:$3"
}

# apiserver_arguments <certificate folder> <log folder> <address> <port> <etcd client port>
apiserver_arguments() {
  local certs=$1 logs=$2 address=$3 port=$4 etcd=$5
  printf '%s\n' "$LAB_BIN/kube-apiserver" "--etcd-servers=http://127.0.0.1:$etcd" \
    "--bind-address=$address" "--advertise-address=$address" "--secure-port=$port" \
    "--client-ca-file=$certs/ca.crt" "--tls-cert-file=$certs/apiserver.crt" "--tls-private-key-file=$certs/apiserver.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --anonymous-auth=true --enable-bootstrap-token-auth=false --profiling=false \
    "--service-cluster-ip-range=$LAB_SERVICE_CIDR" \
    --service-account-issuer=https://kubernetes.default.svc \
    "--service-account-key-file=$certs/service-account.pub" "--service-account-signing-key-file=$certs/service-account.key" \
    "--kubelet-certificate-authority=$certs/ca.crt" \
    "--kubelet-client-certificate=$certs/apiserver-kubelet-client.crt" \
    "--kubelet-client-key=$certs/apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP \
    "--proxy-client-cert-file=$certs/front-proxy-client.crt" "--proxy-client-key-file=$certs/front-proxy-client.key" \
    "--requestheader-client-ca-file=$certs/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    "--audit-policy-file=$LAB_LIB/audit-policy.yaml" "--audit-log-path=$logs/apiserver-audit.log" \
    --audit-log-maxsize=1000 --audit-log-mode=blocking
}

kubectl_with() { "$LAB_BIN/kubectl" --cache-dir "$(dirname "$1")/kubectl-cache" --kubeconfig "$1" "${@:2}"; }
port_taken() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
etcd_healthy() { curl -fsS --noproxy '*' --max-time 2 "http://127.0.0.1:$1/health"; }

# --- the pair for integration tests -------------------------------------------------------------------------------------------

control_plane() {
  local action=${1:-} folder=${2:-}
  [[ -n $folder ]] || die 'usage: lab control-plane up <folder> <first port> | down <folder> | restart-apiserver <folder>'
  [[ $folder = /* ]] || folder=$PWD/$folder
  case $action in
    up) control_plane_up "$folder" "${3:-}" ;;
    down) control_plane_down "$folder" ;;
    stop-apiserver) stop_process "$folder/run/apiserver.pid" 2 ;;
    start-apiserver) control_plane_start_apiserver "$folder" ;;
    restart-apiserver)
      stop_process "$folder/run/apiserver.pid" 2
      control_plane_start_apiserver "$folder"
      ;;
    *) die "control-plane: unknown action '$action'" ;;
  esac
}

control_plane_up() {
  local folder=$1 first=$2 port
  [[ $first =~ ^[0-9]+$ ]] || die 'control-plane up needs the first of its three ports, for example 23790'
  [[ -x $LAB_BIN/kube-apiserver ]] || die "kube-apiserver is not built; run: $LAB_COMMAND tools"
  # Only a folder that is new, empty or one of ours: "down" removes it.
  [[ ! -e $folder || -f $folder/lab-control-plane || -z $(ls -A "$folder") ]] || die "$folder is not empty and is no lab control plane"
  mkdir -p "$folder/run" "$folder/logs"
  if ! live_pid "$folder/run/etcd.pid" >/dev/null; then
    stop_process "$folder/run/apiserver.pid"
    rm -rf "$folder/etcd"
  fi
  printf 'first_port=%s\n' "$first" >"$folder/lab-control-plane"
  if ! live_pid "$folder/run/etcd.pid" >/dev/null; then
    for port in "$first" "$((first + 1))" "$((first + 2))"; do
      ! port_taken "$port" || die "port $port on 127.0.0.1 is taken by another process"
    done
  fi
  local etcd_command
  mapfile -t etcd_command < <(etcd_arguments "$folder/etcd" "$first" "$((first + 1))")
  start_process "$folder/run" "$folder/logs" etcd "${etcd_command[@]}"
  if [[ ! -f $folder/kubeconfig ]]; then
    create_control_plane_certificates "$folder/certs" 127.0.0.1 "$LAB_API_SERVICE_IP"
    write_kubeconfig "$folder/kubeconfig" "$folder/certs" admin "https://127.0.0.1:$((first + 2))"
  fi
  await_component "$folder/run/etcd.pid" "$folder/logs" etcd 20 etcd_healthy "$first"
  control_plane_start_apiserver "$folder"
  printf '%s\n' "$folder/kubeconfig"
}

control_plane_start_apiserver() {
  local folder=$1 first_port command
  # shellcheck source=/dev/null
  source "$folder/lab-control-plane" || die "$folder is no lab control plane"
  mapfile -t command < <(apiserver_arguments "$folder/certs" "$folder/logs" 127.0.0.1 "$((first_port + 2))" "$first_port")
  # Without a controller manager nobody makes service accounts, and without a node there is no address to publish.
  # LAB_SERVICE_ACCOUNTS=1 keeps their admission plugin on, for callers who make the accounts themselves.
  [[ ${LAB_SERVICE_ACCOUNTS:-} == 1 ]] || command+=(--disable-admission-plugins=ServiceAccount)
  command+=(--endpoint-reconciler-type=none)
  start_process "$folder/run" "$folder/logs" apiserver "${command[@]}"
  await_component "$folder/run/apiserver.pid" "$folder/logs" apiserver 40 \
    kubectl_with "$folder/kubeconfig" get --raw /readyz
  # readyz comes shortly before the "default" namespace exists, which nearly every test uses.
  wait_until 10 kubectl_with "$folder/kubeconfig" get namespace default || die 'the namespace "default" did not appear'
}

control_plane_down() {
  local folder=$1
  [[ -e $folder ]] || return 0
  [[ -f $folder/lab-control-plane ]] || die "$folder is no lab control plane"
  stop_process "$folder/run/apiserver.pid" 5
  stop_process "$folder/run/etcd.pid" 5
  rm -rf --one-file-system "$folder"
}
