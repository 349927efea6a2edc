# shellcheck shell=bash
# Certificate authorities, certificates and kubeconfig files, made with openssl.

# create_authority <folder> <name> <common name>
create_authority() {
  local base=$1/$2
  openssl ecparam -name prime256v1 -genkey -noout -out "$base.key"
  openssl req -x509 -new -key "$base.key" -sha256 -days 365 -subj "/CN=$3" -out "$base.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}

# create_certificate <folder> <authority> <name> <subject> [subject alternative names]
create_certificate() {
  local folder=$1 authority=$2 name=$3 subject=$4 names=${5:-} extensions
  extensions=$'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth'
  [[ -z $names ]] || extensions+=$'\n'"subjectAltName=$names"
  openssl ecparam -name prime256v1 -genkey -noout -out "$folder/$name.key"
  openssl req -new -key "$folder/$name.key" -subj "$subject" 2>/dev/null |
    openssl x509 -req -sha256 -days 365 -CA "$folder/$authority.crt" -CAkey "$folder/$authority.key" \
      -set_serial "0x$(openssl rand -hex 8)" -extfile <(printf '%s\n' "$extensions") -out "$folder/$name.crt" 2>/dev/null
}

# What an API server needs, wherever it runs: create_control_plane_certificates <folder> <ip address>...
create_control_plane_certificates() {
  local folder=$1 address names='DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc'
  shift
  names+=",DNS:kubernetes.default.svc.cluster.local"
  for address in "$@"; do names+=",IP:$address"; done
  mkdir -p "$folder"
  create_authority "$folder" ca "$LAB_NAME"
  create_authority "$folder" front-proxy-ca "$LAB_NAME-front-proxy"
  # In a subshell, so that "wait" does not wait for the long-lived children of this shell.
  (
    create_certificate "$folder" ca apiserver /CN=kube-apiserver "$names" &
    create_certificate "$folder" ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client &
    create_certificate "$folder" front-proxy-ca front-proxy-client /CN=front-proxy-client &
    create_certificate "$folder" ca admin /O=system:masters/CN=lab-admin &
    openssl genrsa -out "$folder/service-account.key" 2048 2>/dev/null
    openssl rsa -in "$folder/service-account.key" -pubout -out "$folder/service-account.pub" 2>/dev/null
    wait
  )
  # The lab's own authority next to the machine's: for clients that read one bundle only.
  cat /etc/ssl/certs/ca-certificates.crt "$folder/ca.crt" >"$folder/bundle.crt" 2>/dev/null || cp "$folder/ca.crt" "$folder/bundle.crt"
}

create_node_certificates() (
  folder=$1
  create_certificate "$folder" ca controller-manager /CN=system:kube-controller-manager &
  create_certificate "$folder" ca scheduler /CN=system:kube-scheduler &
  create_certificate "$folder" ca kube-proxy /CN=system:kube-proxy &
  create_certificate "$folder" ca coredns /CN=lab:coredns &
  create_certificate "$folder" ca kubelet "/O=system:nodes/CN=system:node:$LAB_NODE" "DNS:$LAB_NODE,IP:$LAB_NODE_IP" &
  wait
)

# write_kubeconfig <file> <certificate folder> <certificate name> <server>: self-contained, so that it can be copied.
write_kubeconfig() {
  local file=$1 folder=$2 name=$3 server=$4
  (
    umask 077
    cat >"$file" <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: lab
    cluster:
      server: $server
      certificate-authority-data: $(base64 -w0 "$folder/ca.crt")
users:
  - name: $name
    user:
      client-certificate-data: $(base64 -w0 "$folder/$name.crt")
      client-key-data: $(base64 -w0 "$folder/$name.key")
contexts:
  - name: lab
    context: { cluster: lab, user: $name }
current-context: lab
EOF
  )
}
