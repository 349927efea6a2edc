# shellcheck shell=bash
# One cgroup of the lab's name, under which the kubelet makes those of the pods. Works with cgroup v1 and v2.

cgroup_folders() {
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    printf '%s\n' "/sys/fs/cgroup/$LAB_NAME"
  else
    local hierarchy
    for hierarchy in /sys/fs/cgroup/*/; do
      [[ -f ${hierarchy}cgroup.procs ]] && printf '%s\n' "$hierarchy$LAB_NAME"
    done
  fi
}

create_cgroup() {
  local folder file controllers
  while read -r folder; do
    mkdir -p "$folder"
    # v1: a new cpuset is empty and takes no process until it has processors and memory nodes.
    for file in cpuset.cpus cpuset.mems; do
      if [[ -f $folder/../cgroup.clone_children && -f $folder/$file && -z $(<"$folder/$file") ]]; then
        cat "$folder/../$file" >"$folder/$file"
      fi
    done
    # v2: hand the controllers down.
    if [[ -f $folder/cgroup.controllers && $folder == "/sys/fs/cgroup/$LAB_NAME" ]]; then
      for controllers in cpu cpuset memory pids io hugetlb; do
        echo "+$controllers" >/sys/fs/cgroup/cgroup.subtree_control
        echo "+$controllers" >"$folder/cgroup.subtree_control"
      done 2>/dev/null || true
    fi
  done < <(cgroup_folders)
}

delete_cgroup() {
  local folder
  while read -r folder; do
    [[ ! -d $folder ]] || wait_until 5 remove_cgroup_tree "$folder" || die "the cgroup $folder cannot be removed"
  done < <(cgroup_folders)
}

remove_cgroup_tree() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || [[ ! -d $1 ]]; }
