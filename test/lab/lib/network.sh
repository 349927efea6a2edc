# shellcheck shell=bash
# The network of the node: a network namespace of its own, so that nothing on the machine (addresses, iptables rules, sysctls)
# is touched, and the namespaces (mount, pid) that hold everything the node mounts and starts.

LAB_NETNS=/run/netns/$LAB_NAME
LAB_HOLDER=$LAB_RUN/node.pid

# Folders which the node's programs use by fixed names. Inside the node each is a folder below $LAB_DATA/node instead.
LAB_PRIVATE_FOLDERS=(/run /var/log /var/lib/cni /var/lib/kubelet /var/lib/containerd)

# A holder that was killed stays visible while the kernel ends its processes, but nobody can enter its namespaces any more.
node_pid() {
  local pid
  pid=$(live_pid "$LAB_HOLDER") && [[ -n $(readlink "/proc/$pid/ns/net") ]] && printf '%s' "$pid"
} 2>/dev/null
in_node() { nsenter --target "$(node_pid)" --mount --net --pid -- "$@"; }
in_network() { nsenter --net="$LAB_NETNS" -- "$@"; }

create_network() {
  [[ -e $LAB_NETNS ]] || ip netns add "$LAB_NAME"
  in_network sh -euc "
    ip link set lo up
    # Both ends of the pair stay inside: it only gives the node an address that is not the loopback.
    ip link show node0 >/dev/null 2>&1 || ip link add node0 type veth peer name node1
    ip address replace $LAB_NODE_IP/24 dev node0
    ip link set node0 up
    ip link set node1 up
    ip route replace default via 10.200.0.1 dev node0
    echo 1 >/proc/sys/net/ipv4/ip_forward
  "
}

delete_network() {
  if [[ -e $LAB_NETNS ]]; then
    # After a reboot or an interrupted "ip netns add" the file is there but is no namespace; ip netns delete copes with both.
    ip netns delete "$LAB_NAME" 2>/dev/null || { umount "$LAB_NETNS" 2>/dev/null || true; rm -f "$LAB_NETNS"; }
  fi
  # "ip netns add" mounts /run/netns on itself. Take that back when nobody else has a namespace there.
  if [[ -d /run/netns && -z $(ls -A /run/netns) ]]; then
    umount /run/netns 2>/dev/null || true
    rmdir /run/netns 2>/dev/null || true
  fi
}

# The holder is process 1 of the node's pid namespace: when it is killed, the kernel ends every process of the node, and the
# mounts go with the last of them. It does nothing but collect ended children.
start_holder() {
  if node_pid >/dev/null; then return 0; fi
  local folder parent child=''
  mkdir -p "$LAB_RUN" "$LAB_LOGS"
  for folder in "${LAB_PRIVATE_FOLDERS[@]}"; do
    mkdir -p "$LAB_DATA/node$folder"
    if [[ ! -d $folder ]]; then
      mkdir -p "$folder"
      printf '%s\n' "$folder" >>"$LAB_DATA/created-folders"
    fi
  done
  setsid nsenter --net="$LAB_NETNS" -- unshare --mount --pid --fork --mount-proc --propagation private -- \
    "$LAB_LIB/node-init" "$LAB_DATA/node" "${LAB_PRIVATE_FOLDERS[@]}" >>"$LAB_LOGS/node.log" 2>&1 </dev/null 9>&- &
  parent=$!
  for _ in {1..200}; do
    child=$(cat "/proc/$parent/task/$parent/children" 2>/dev/null || true)
    child=${child%% *}
    [[ -n $child && -e $LAB_DATA/node/run/ready ]] && break
    kill -0 "$parent" 2>/dev/null || break
    sleep 0.02
  done
  [[ -n $child && -e $LAB_DATA/node/run/ready ]] || fail_with_log node "$LAB_LOGS" 'the namespaces of the node were not made'
  record_pid "$LAB_HOLDER" "$child" "$parent"
}

stop_holder() {
  local pid
  if pid=$(live_pid "$LAB_HOLDER"); then
    kill -KILL "$pid"
    wait_until 10 process_gone "$LAB_HOLDER" || die "the processes of the node (holder $pid) do not end"
  fi
  rm -f "$LAB_HOLDER"
}
