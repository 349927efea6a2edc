# shellcheck shell=bash
# Programs the lab needs: packages of Debian, and Kubernetes, Helm and CoreDNS built from the locked Go modules under tools/.

# program=package
LAB_PACKAGES=(
  redis-server=redis-server
  containerd=containerd runc=runc etcd=etcd-server ip=iproute2 iptables=iptables conntrack=conntrack socat=socat
  ethtool=ethtool buildah=buildah gcc=gcc openssl=openssl curl=curl nsenter=util-linux /usr/lib/cni/bridge=containernetworking-plugins
  /usr/include/stdlib.h=libc6-dev /usr/lib/x86_64-linux-gnu/libstdc++.so.6=libstdc++6
  /etc/ssl/certs/ca-certificates.crt=ca-certificates
)

# output name=module folder=package
LAB_BUILDS=(
  kube-apiserver=kubernetes=k8s.io/kubernetes/cmd/kube-apiserver
  kube-controller-manager=kubernetes=k8s.io/kubernetes/cmd/kube-controller-manager
  kube-scheduler=kubernetes=k8s.io/kubernetes/cmd/kube-scheduler
  kubelet=kubernetes=k8s.io/kubernetes/cmd/kubelet
  kube-proxy=kubernetes=k8s.io/kubernetes/cmd/kube-proxy
  kubectl=kubernetes=k8s.io/kubernetes/cmd/kubectl
  coredns=coredns=github.com/coredns/coredns
  helm=helm=helm.sh/helm/v4/cmd/helm
  helm3=helm3=helm.sh/helm/v3/cmd/helm
)

missing_packages() {
  local pair program
  for pair in "${LAB_PACKAGES[@]}"; do
    program=${pair%%=*}
    if [[ $program = /* ]]; then
      # The multiarch folder is written for amd64; other machines have their own.
      program=${program/x86_64-linux-gnu/$(uname -m)-linux-gnu}
      [[ -e $program ]] || printf '%s\n' "${pair#*=}"
    else
      command -v "$program" >/dev/null || printf '%s\n' "${pair#*=}"
    fi
  done
  # Debian keeps what a virtual environment begins with in a package of its own.
  python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3 python3-venv
}

install_packages() {
  local missing policy=/usr/sbin/policy-rc.d
  mapfile -t missing < <(missing_packages | sort -u)
  ((${#missing[@]})) || return 0
  if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
    die "missing packages; run: sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  say "installing packages: ${missing[*]}"
  # Debian starts the services of new packages; the lab starts its own etcd and containerd and wants no others.
  local made_policy=false
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    made_policy=true
  fi
  local log=$LAB_CACHE/apt.log ok=true
  mkdir -p "$LAB_CACHE"
  {
    apt-get update -qq &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
  } >"$log" 2>&1 9>&- || ok=false
  if $made_policy; then rm -f "$policy"; fi
  $ok || { tail -n 15 "$log" >&2; die "apt-get failed; its output is in $log"; }
}

module_version() {
  case $1 in
    kubernetes) printf '%s' "$LAB_KUBERNETES_VERSION" ;;
    helm) printf '%s' "$LAB_HELM_VERSION" ;;
    helm3) printf '%s' "$LAB_HELM3_VERSION" ;;
    coredns) printf '%s' "$LAB_COREDNS_VERSION" ;;
  esac
}

# Without the version stamped in, kubectl, helm and "kubeVersion" checks would see v0.0.0.
module_flags() {
  local version minor rest
  version=$(module_version "$1")
  rest=${version#v*.}
  minor=${rest%%.*}
  case $1 in
    kubernetes)
      printf '%s' "-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1" \
        " -X k8s.io/component-base/version.gitMinor=$minor"
      ;;
    helm) printf '%s' "-X helm.sh/helm/v4/internal/version.version=$version" ;;
    helm3) printf '%s' "-X helm.sh/helm/v3/internal/version.version=$version" ;;
  esac
}

# What a built program depends on: its version, its flags and the lock file of its module.
module_stamp() {
  printf '%s %s %s\n' "$(module_version "$1")" "$(module_flags "$1")" "$(cat "$LAB_ROOT/tools/$1/go.mod" "$LAB_ROOT/tools/$1/go.sum" | sha256sum | cut -c1-64)"
}

built() { # <output name> <module folder>
  [[ -x $LAB_BIN/$1 && -f $LAB_BIN/.$1.stamp && $(<"$LAB_BIN/.$1.stamp") == "$(module_stamp "$2")" ]]
}

tools_present() {
  local entry name module
  [[ -z $(missing_packages) ]] || return 1
  for entry in "${LAB_BUILDS[@]}"; do
    IFS='=' read -r name module _ <<<"$entry"
    built "$name" "$module" || return 1
  done
}

go_is_new_enough() {
  local version
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
  [[ $(printf '%s\n' "go$LAB_GO_VERSION_MIN" "$version" | sort -V | head -n 1) == "go$LAB_GO_VERSION_MIN" ]]
}

# Debian's Go is too old to build Kubernetes, but not to download the toolchain that can: that is a module like any other,
# checked against the public checksum database.
ensure_go() {
  go_is_new_enough && return
  local cache=$LAB_CACHE/go-toolchain module folder
  module=golang.org/toolchain@v0.0.1-go$LAB_GO_VERSION.linux-$(dpkg --print-architecture 2>/dev/null || echo amd64)
  folder=$cache/$module
  if [[ ! -x $folder/bin/go ]]; then
    if ! command -v go >/dev/null; then
      [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null || die "go is missing (go $LAB_GO_VERSION_MIN or newer is needed)"
      say 'installing Go from Debian, to download a newer one with'
      { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends golang-go; } \
        >"$LAB_CACHE/apt.log" 2>&1 || die "apt-get failed; its output is in $LAB_CACHE/apt.log"
    fi
    say "downloading Go $LAB_GO_VERSION"
    mkdir -p "$cache"
    (cd "$cache" && GOFLAGS=-modcacherw GOMODCACHE=$cache go mod download "$module") >"$LAB_CACHE/go-download.log" 2>&1 ||
      die "Go $LAB_GO_VERSION could not be downloaded; see $LAB_CACHE/go-download.log"
    # Module archives carry no executable bits.
    chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/*
  fi
  export PATH="$folder/bin:$PATH" GOTOOLCHAIN=local
}

install_tools() {
  local entry name module package number=0 log=$LAB_CACHE/go-build.log
  take_lock
  install_packages
  mkdir -p "$LAB_BIN"
  for entry in "${LAB_BUILDS[@]}"; do
    IFS='=' read -r name module package <<<"$entry"
    number=$((number + 1))
    if built "$name" "$module"; then continue; fi
    ensure_go
    say "building $name $(module_version "$module") ($number of ${#LAB_BUILDS[@]}; all take about 10 minutes the first time)"
    (
      cd "$LAB_ROOT/tools/$module"
      CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w $(module_flags "$module")" \
        -o "$LAB_BIN/.$name.new" "$package" 9>&-
    ) >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "building $name failed; the output is in $log"; }
    mv "$LAB_BIN/.$name.new" "$LAB_BIN/$name"
    module_stamp "$module" >"$LAB_BIN/.$name.stamp"
  done
  ln -sfn helm "$LAB_BIN/helm4"
  say "tools are in $LAB_BIN"
}
