# shellcheck shell=bash disable=SC2154
# Sourced by `up`: imports a minimal Debian $SUITE as $image with $label, from the mirrors that this host's apt uses.

sources() {
  local sites security
  # shellcheck disable=SC2016 # the format is apt's
  sites=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages')
  printf 'deb %s %s main\n' "$(grep -v -m 1 security <<<"$sites")" "$SUITE"
  if security=$(grep -m 1 security <<<"$sites"); then printf 'deb %s %s-security main\n' "$security" "$SUITE"; fi
}

bootstrap() {
  local hooks=()
  [[ $SUITE == bookworm ]] || hooks=(--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr)
  as_root mmdebstrap --variant=minbase --include=ca-certificates "${hooks[@]}" \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$SUITE" - -
}

# Keeps packages from starting their servers while an image is built. mmdebstrap would remove it again.
add_policy() {
  install -D -m 755 /dev/stdin "$work/usr/sbin/policy-rc.d" <<<$'#!/bin/sh\nexit 101'
  tar -C "$work" --append --file "$work/rootfs.tar" --owner=0 --group=0 usr/sbin/policy-rc.d
}

need_commands mmdebstrap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources | bootstrap >"$work/rootfs.tar"
add_policy
docker import --change 'CMD ["bash"]' --change 'ENV DEBIAN_FRONTEND=noninteractive' --change "LABEL $label" \
  "$work/rootfs.tar" "$image"
