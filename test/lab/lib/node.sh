# shellcheck shell=bash
# The parts of the node: what runs inside its namespaces, in start order, and how each is known to be ready.

LAB_COMPONENTS=(etcd containerd apiserver controller-manager scheduler kubelet kube-proxy coredns)

component_command() { # <component>: prints its command, one argument a line
  local kubeconfigs=$LAB_DATA/kubeconfigs
  case $1 in
    etcd) etcd_arguments "$LAB_DATA/etcd" 2379 2380 ;;
    containerd) printf '%s\n' containerd --config "$LAB_DATA/config/containerd.toml" ;;
    apiserver)
      apiserver_arguments "$LAB_CERTS" "$LAB_LOGS" "$LAB_NODE_IP" "$LAB_API_PORT" 2379
      ;;
    controller-manager)
      # At the default rate it would take 5 s only to make the service accounts of its controllers.
      printf '%s\n' "$LAB_BIN/kube-controller-manager" --kube-api-qps=300 --kube-api-burst=500 --leader-elect=false --bind-address=127.0.0.1 \
        "--kubeconfig=$kubeconfigs/controller-manager" "--authentication-kubeconfig=$kubeconfigs/controller-manager" \
        "--authorization-kubeconfig=$kubeconfigs/controller-manager" --use-service-account-credentials \
        --allocate-node-cidrs "--cluster-cidr=$LAB_CLUSTER_CIDR" "--service-cluster-ip-range=$LAB_SERVICE_CIDR" \
        "--root-ca-file=$LAB_CERTS/ca.crt" "--service-account-private-key-file=$LAB_CERTS/service-account.key" \
        "--cluster-signing-cert-file=$LAB_CERTS/ca.crt" "--cluster-signing-key-file=$LAB_CERTS/ca.key"
      ;;
    scheduler)
      printf '%s\n' "$LAB_BIN/kube-scheduler" --leader-elect=false --bind-address=127.0.0.1 \
        "--kubeconfig=$kubeconfigs/scheduler" "--authentication-kubeconfig=$kubeconfigs/scheduler" \
        "--authorization-kubeconfig=$kubeconfigs/scheduler"
      ;;
    kubelet)
      printf '%s\n' "$LAB_BIN/kubelet" "--config=$LAB_DATA/config/kubelet.yaml" "--kubeconfig=$kubeconfigs/kubelet" \
        "--hostname-override=$LAB_NODE" "--node-ip=$LAB_NODE_IP"
      ;;
    kube-proxy) printf '%s\n' "$LAB_BIN/kube-proxy" "--config=$LAB_DATA/config/kube-proxy.yaml" ;;
    coredns) printf '%s\n' "$LAB_BIN/coredns" -conf "$LAB_DATA/config/Corefile" ;;
    *) return 1 ;;
  esac
}

component_ready() { # <component>: succeeds when it serves
  case $1 in
    etcd) in_network curl -fsS --noproxy '*' --max-time 2 http://127.0.0.1:2379/health ;;
    containerd) in_node ctr version ;;
    apiserver) lab_kubectl get --raw /readyz ;;
    controller-manager) https_healthy 127.0.0.1:10257 ;;
    scheduler) https_healthy 127.0.0.1:10259 ;;
    kubelet) in_network curl -fsS --noproxy '*' --max-time 2 http://127.0.0.1:10248/healthz ;;
    kube-proxy) in_network curl -fsS --noproxy '*' --max-time 2 http://127.0.0.1:10256/livez ;;
    coredns) in_network curl -fsS --noproxy '*' --max-time 2 http://127.0.0.1:8181/ready ;;
    *) return 1 ;;
  esac
}

https_healthy() { in_network curl -kfsS --noproxy '*' --max-time 2 "https://$1/healthz"; }
lab_kubectl() { in_network "$LAB_BIN/kubectl" --cache-dir "$LAB_DATA/kubectl-cache" --kubeconfig "$LAB_KUBECONFIG" "$@"; }

start_component() {
  local command
  mapfile -t command < <(component_command "$1")
  start_in_node "$1" "${command[@]}"
}

await_ready() { await_component "$LAB_RUN/$1.pid" "$LAB_LOGS" "$1" "${2:-40}" component_ready "$1"; }

restart_component() {
  local name=$1
  component_command "$name" >/dev/null || die "unknown component '$name'; one of: ${LAB_COMPONENTS[*]}"
  node_pid >/dev/null || die "the lab is not up"
  stop_process "$LAB_RUN/$name.pid" 2
  start_component "$name"
  await_ready "$name"
}

signal_component() { # <component> <signal>
  local pid
  pid=$(live_pid "$LAB_RUN/$1.pid") || die "'$1' does not run; components: ${LAB_COMPONENTS[*]}"
  kill "-$2" "$pid"
}

node_ready() {
  [[ $(lab_kubectl get node "$LAB_NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

# --- up and down --------------------------------------------------------------------------------------------------------------

lab_up() {
  need_root
  tools_present || install_tools
  take_lock
  if ! node_pid >/dev/null && [[ -e $LAB_DATA || -e $LAB_RUN || -e $LAB_NETNS ]]; then
    say 'cleaning up after a lab that did not end by "down"'
    remove_everything
  fi
  mkdir -p "$LAB_RUN" "$LAB_LOGS"
  create_network
  start_holder
  create_cgroup
  if [[ ! -f $LAB_DATA/configured ]]; then
    say 'certificates and configuration'
    create_control_plane_certificates "$LAB_CERTS" "$LAB_NODE_IP" 127.0.0.1 "$LAB_API_SERVICE_IP"
    create_node_certificates "$LAB_CERTS"
    write_configuration
    touch "$LAB_DATA/configured"
  fi
  say 'etcd, containerd, kube-apiserver'
  start_component etcd
  start_component containerd
  await_ready etcd
  start_component apiserver
  await_ready containerd
  import_pause_image
  await_ready apiserver
  say 'kube-controller-manager, kube-scheduler, kubelet, kube-proxy, coredns'
  apply_cluster_objects
  for name in controller-manager scheduler kubelet kube-proxy coredns; do start_component "$name"; done
  for name in controller-manager scheduler kubelet kube-proxy coredns; do await_ready "$name"; done
  wait_until 60 node_ready || fail_with_log kubelet "$LAB_LOGS" "node $LAB_NODE is not Ready after 60 s"
  wait_until 20 lab_kubectl get serviceaccount default ||
    fail_with_log controller-manager "$LAB_LOGS" 'the default service account was not made'
  say "node $LAB_NODE is Ready; KUBECONFIG=$LAB_KUBECONFIG inside the network namespace $LAB_NAME"
}

lab_down() {
  need_root
  take_lock
  remove_everything
  say 'the lab is gone'
}

# Ends and removes everything that carries the lab's name, whatever state it is in.
remove_everything() {
  local file folder
  for file in "$LAB_RUN"/forward-*.pid; do
    [[ ! -e $file ]] || stop_process "$file" 2
  done
  local waiting=() parent
  for file in "$LAB_RUN"/*.pid; do
    [[ -f $file ]] && read -r _ _ parent <"$file" && [[ -n $parent ]] && waiting+=("$parent")
  done
  # The kubelet first, so that it does not start anew what the kernel ends after it.
  stop_process "$LAB_RUN/kubelet.pid" 1
  stop_holder
  delete_cgroup
  delete_network
  if [[ -f $LAB_DATA/created-folders ]]; then
    while read -r folder; do rmdir "$folder" 2>/dev/null || true; done < <(tac "$LAB_DATA/created-folders")
  fi
  rm -rf --one-file-system "$LAB_DATA" "$LAB_RUN"
  # What waited for them outside has ended too; a slow init may take a moment to collect it.
  wait_until 3 pids_gone "${waiting[@]}" || true
}

pids_gone() {
  local pid
  for pid in "$@"; do [[ ! -e /proc/$pid ]] || [[ $(<"/proc/$pid/comm") != @(nsenter|unshare) ]] || return 1; done
} 2>/dev/null

lab_status() {
  local name pid
  if ! pid=$(node_pid); then
    printf 'down\n'
    return 1
  fi
  for name in "${LAB_COMPONENTS[@]}"; do
    if pid=$(live_pid "$LAB_RUN/$name.pid"); then
      printf '%-20s running  pid %-8s %s\n' "$name" "$pid" "$(component_ready "$name" >/dev/null 2>&1 && echo ready || echo 'not ready')"
    else
      printf '%-20s stopped\n' "$name"
    fi
  done
  printf 'logs: %s\n' "$LAB_LOGS"
  lab_kubectl get nodes
}
