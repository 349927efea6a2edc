# shellcheck shell=bash
# Configuration files of the node's programs and the objects every lab starts with.

write_configuration() {
  local config=$LAB_DATA/config kubeconfigs=$LAB_DATA/kubeconfigs server=https://$LAB_NODE_IP:$LAB_API_PORT name
  mkdir -p "$config/cni" "$kubeconfigs" "$LAB_DATA/volumes"
  write_kubeconfig "$LAB_KUBECONFIG" "$LAB_CERTS" admin "$server"
  for name in controller-manager scheduler kubelet kube-proxy coredns; do
    write_kubeconfig "$kubeconfigs/$name" "$LAB_CERTS" "$name" "$server"
  done

  # restrict_oom_score_adj: without the capability CAP_SYS_RESOURCE runc could not start a container.
  cat >"$config/containerd.toml" <<EOF
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$LAB_PAUSE_IMAGE"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$config/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
EOF

  cat >"$config/cni/10-lab.conflist" <<EOF
{
  "cniVersion": "0.4.0",
  "name": "$LAB_NAME",
  "plugins": [
    {
      "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "$LAB_POD_CIDR" }]], "routes": [{ "dst": "0.0.0.0/0" }] }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
EOF

  printf 'nameserver %s\n' "$LAB_NODE_IP" >"$config/resolv.conf"
  cat >"$config/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $LAB_NODE_IP
authentication:
  anonymous: { enabled: false }
  webhook: { enabled: true }
  x509: { clientCAFile: $LAB_CERTS/ca.crt }
authorization: { mode: Webhook }
tlsCertFile: $LAB_CERTS/kubelet.crt
tlsPrivateKeyFile: $LAB_CERTS/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$LAB_NAME
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [$LAB_NODE_IP]
clusterDomain: cluster.local
resolvConf: $config/resolv.conf
evictionHard: { memory.available: 50Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1% }
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
serializeImagePulls: false
EOF

  cat >"$config/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: { kubeconfig: $kubeconfigs/kube-proxy }
clusterCIDR: $LAB_CLUSTER_CIDR
hostnameOverride: $LAB_NODE
mode: iptables
iptables: { minSyncPeriod: 100ms }
oomScoreAdj: 0
# Sizes of the connection table belong to the whole machine and cannot be written from here.
conntrack: { maxPerCore: 0, min: null }
EOF

  # The lab has no way out: a name outside the cluster does not exist, which a client learns at once.
  cat >"$config/Corefile" <<EOF
cluster.local in-addr.arpa ip6.arpa {
    bind $LAB_NODE_IP
    errors
    health 127.0.0.1:8180
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig $kubeconfigs/coredns
        pods insecure
        ttl 5
    }
    cache 5
}
. {
    bind $LAB_NODE_IP
    errors
    template ANY ANY {
        rcode NXDOMAIN
    }
}
EOF
}

# Rights for CoreDNS, a default StorageClass without a provisioner, and static volumes for it.
apply_cluster_objects() {
  local number
  {
    cat <<EOF
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: "lab:coredns" }
rules:
  - { apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch] }
  - { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: "lab:coredns" }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "lab:coredns" }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: "lab:coredns" }]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: lab
  annotations: { storageclass.kubernetes.io/is-default-class: "true" }
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
EOF
    for number in 1 2 3 4 5 6; do
      # Open to every user of a pod, because hostPath volumes do not follow fsGroup.
      install -d -m 0777 "$LAB_DATA/volumes/$number"
      cat <<EOF
---
apiVersion: v1
kind: PersistentVolume
metadata: { name: lab-$number, labels: { lab: volume } }
spec:
  capacity: { storage: 10Gi }
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: lab
  hostPath: { path: $LAB_DATA/volumes/$number, type: Directory }
EOF
    done
  } >"$LAB_DATA/config/objects.yaml"
  lab_kubectl apply --server-side --field-manager=lab -f "$LAB_DATA/config/objects.yaml" >>"$LAB_LOGS/objects.log" 2>&1 ||
    fail_with_log objects "$LAB_LOGS" 'the first objects were refused'
}
