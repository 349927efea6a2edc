# shellcheck shell=bash
# Images without a registry: built by buildah from local files, kept as archives in the cache, imported into containerd.

LAB_IMAGES=$LAB_CACHE/images
LAB_BUILDAH=(buildah --storage-driver vfs --root "$LAB_CACHE/buildah" --runroot "$LAB_CACHE/buildah-run")

# buildah keeps a small cache in /var/lib/containers, and has no option to move it: it gets a mount namespace in which that folder
# is one of the lab's cache.
lab_buildah() {
  local fixed=/var/lib/containers made=false code=0
  mkdir -p "$LAB_CACHE/buildah-fixed" "$LAB_CACHE/buildah-tmp"
  [[ -d $fixed ]] || { mkdir -p "$fixed" && made=true; }
  # shellcheck disable=SC2016 # for the inner shell
  env -u XDG_RUNTIME_DIR TMPDIR="$LAB_CACHE/buildah-tmp" unshare --mount --propagation private -- \
    sh -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' sh "$LAB_CACHE/buildah-fixed" "$fixed" \
    "${LAB_BUILDAH[@]}" "$@" 9>&- || code=$?
  if $made; then rmdir "$fixed"; fi
  return "$code"
}
lab_ctr() { in_node ctr -n k8s.io "$@"; }
archive_of() { printf '%s/%s.tar' "$LAB_IMAGES" "${1//[\/:]/_}"; }
hash_of() { sha256sum | cut -c1-64; }

# build_image <tag> <hash> <build arguments...>: builds and archives the image unless the archive of that hash is there.
build_image() {
  local tag=$1 hash=$2 archive log
  shift 2
  archive=$(archive_of "$tag")
  if [[ -f $archive && -f $archive.hash && $(<"$archive.hash") == "$hash" ]]; then return 0; fi
  mkdir -p "$LAB_IMAGES"
  log=${archive%.tar}.log
  say "building $tag"
  rm -f "$archive" "$archive.hash"
  {
    lab_buildah bud --isolation chroot --pull-never --tag "$tag" "$@" &&
      lab_buildah push --quiet "$tag" "docker-archive:$archive:$tag"
  } >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "building $tag failed; the output is in $log"; }
  printf '%s\n' "$hash" >"$archive.hash"
  # Layers of the image that had this name before.
  lab_buildah rmi --prune >/dev/null 2>&1 || true
}

# The base of the project's images here: like a public "cc" distroless image, but of this machine's own files. In it: the C and
# C++ runtime, certificate authorities, the user "nonroot" and /tmp. No shell.
build_base_image() {
  local work=$LAB_CACHE/base-image library source libraries=()
  for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 libnss_dns.so.2 libnss_files.so.2 \
    libgcc_s.so.1 libstdc++.so.6; do
    source=$(ldconfig -p | awk -v name="$library" '$1 == name && !found { print $NF; found = 1 }')
    [[ -n $source ]] || die "the library $library is missing; run: sudo apt-get install -y libstdc++6 libgcc-s1"
    libraries+=("$source")
  done
  local loader
  loader=$(compgen -G '/lib64/ld-linux-*.so.*' || compgen -G '/lib/ld-linux-*.so.*') || die 'there is no dynamic loader in /lib64 or /lib'
  local hash
  hash=$({ sha256sum "${libraries[@]}" "$loader" /etc/ssl/certs/ca-certificates.crt; declare -f "${FUNCNAME[0]}"; } | hash_of)
  [[ ! -f $(archive_of "$LAB_BASE_IMAGE").hash || $(<"$(archive_of "$LAB_BASE_IMAGE").hash") != "$hash" ]] || return 0
  rm -rf "$work"
  mkdir -p "$work/root"/{etc/ssl/certs,home/nonroot,tmp,usr/bin}
  for source in "${libraries[@]}" "$loader"; do install -D -m 0755 "$source" "$work/root$source"; done
  install -m 0644 /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$work/root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$work/root/etc/group"
  printf 'hosts: files dns\n' >"$work/root/etc/nsswitch.conf"
  cat >"$work/Dockerfile" <<'EOF'
FROM scratch
COPY root/ /
COPY --chown=65532:65532 root/home/nonroot /home/nonroot
ENV PATH=/usr/local/bin:/usr/bin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /home/nonroot
EOF
  chmod 1777 "$work/root/tmp"
  build_image "$LAB_BASE_IMAGE" "$hash" -f "$work/Dockerfile" "$work"
  rm -rf "$work"
}

# The container that holds the network namespace of each pod: waits for a signal and collects ended children.
build_pause_image() {
  local work=$LAB_CACHE/pause-image hash
  hash=$(declare -f "${FUNCNAME[0]}" | hash_of)
  [[ ! -f $(archive_of "$LAB_PAUSE_IMAGE").hash || $(<"$(archive_of "$LAB_PAUSE_IMAGE").hash") != "$hash" ]] || return 0
  rm -rf "$work"
  mkdir -p "$work"
  cat >"$work/pause.c" <<'EOF'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { (void)s; _exit(0); }
static void collect(int s) { (void)s; while (waitpid(-1, NULL, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  signal(SIGCHLD, collect);
  for (;;) pause();
}
EOF
  gcc -static -Os -s -o "$work/pause" "$work/pause.c"
  printf 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n' >"$work/Dockerfile"
  build_image "$LAB_PAUSE_IMAGE" "$hash" -f "$work/Dockerfile" "$work"
  rm -rf "$work"
}

base_images() {
  build_base_image
  build_pause_image
}

image_loaded() { [[ -n $(lab_ctr images ls -q "name==$1" 2>/dev/null) ]]; }

load_archive() {
  [[ -f $1 ]] || die "there is no file $1"
  node_pid >/dev/null || die "the lab is not up; run: $LAB_COMMAND up"
  lab_ctr images import - <"$1" >>"$LAB_LOGS/images.log" 2>&1 || fail_with_log images "$LAB_LOGS" "importing $1 failed"
}

import_pause_image() {
  if image_loaded "$LAB_PAUSE_IMAGE"; then return 0; fi
  build_pause_image
  load_archive "$(archive_of "$LAB_PAUSE_IMAGE")"
}

# context_hash <Dockerfile> <context>: of the Dockerfile, .dockerignore and every file its COPY and ADD lines take from the
# context. Names, modes and contents count; times and owners do not. Files that .dockerignore leaves out count too: better one build too many.
context_hash() {
  local dockerfile=$1 context=$2 words sources=() path
  while read -r -a words; do
    [[ ${words[*]} != *--from=* ]] || continue
    for path in "${words[@]:1:${#words[@]}-2}"; do
      [[ $path != --* ]] || continue
      # Whatever a build argument stands for.
      # shellcheck disable=SC2016
      path=$(sed -E 's/\$(\{[^}]*\}|[A-Za-z_][A-Za-z0-9_]*)/*/g' <<<"${path#/}")
      # shellcheck disable=SC2206 # patterns in a COPY line are expanded on purpose
      mapfile -t -O "${#sources[@]}" sources < <(cd "$context" && compgen -G "$path" | sort)
    done
  done < <(sed -e ':join' -e '/\\$/{N;s/\\\n/ /;b join' -e '}' "$dockerfile" | grep -iE '^[[:space:]]*(COPY|ADD)[[:space:]]')
  {
    cat "$dockerfile" "$context/.dockerignore" "$(archive_of "$LAB_BASE_IMAGE").hash" 2>/dev/null || true
    if ((${#sources[@]})); then
      tar -C "$context" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --exclude=.git -cf - -- "${sources[@]}"
    fi
  } | hash_of
}

# lab_build <Dockerfile> <tag> [context] [more arguments for buildah]: builds and loads; does only what is not done yet.
lab_build() {
  local dockerfile=${1:-} tag=${2:-} context=${3:-.} hash mark
  [[ -n $dockerfile && -n $tag ]] || die 'usage: lab build <Dockerfile> <tag> [context] [buildah arguments]'
  [[ -f $dockerfile ]] || die "there is no file $dockerfile"
  shift 2
  (($# == 0)) || shift
  need_root
  take_lock
  build_base_image
  hash=$({ context_hash "$dockerfile" "$context"; printf '%s\n' "$@"; } | hash_of)
  build_image "$tag" "$hash" --build-arg "BASE=$LAB_BASE_IMAGE" -f "$dockerfile" "$@" "$context"
  if ! node_pid >/dev/null; then
    say "$tag is built; the lab is not up, so it is not loaded"
    return 0
  fi
  mark=$LAB_DATA/loaded/${tag//[\/:]/_}
  if [[ -f $mark && $(<"$mark") == "$hash" ]] && image_loaded "$tag"; then
    say "$tag is unchanged"
    return 0
  fi
  load_archive "$(archive_of "$tag")"
  mkdir -p "$LAB_DATA/loaded"
  printf '%s\n' "$hash" >"$mark"
  say "$tag is loaded"
}
