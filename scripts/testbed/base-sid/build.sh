# shellcheck shell=bash disable=SC2154
# Sourced by `up`: imports a minimal Debian sid as $image with $label. It has no security archive, and
# mirrors may be behind with its signatures.

options='trusted=yes check-valid-until=no'

bootstrap() {
  local mirror
  # shellcheck disable=SC2016 # the format is apt's
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v -m 1 security)
  echo "deb [$options] $mirror sid main" |
    as_root mmdebstrap --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
      --dpkgopt=force-unsafe-io \
      --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' \
      sid - -
}

# Keeps packages from starting their servers while an image is built.
add_policy() {
  install -D -m 755 /dev/stdin "$work/usr/sbin/policy-rc.d" <<<$'#!/bin/sh\nexit 101'
  tar -C "$work" --append --file "$work/rootfs.tar" --owner=0 --group=0 usr/sbin/policy-rc.d
}

need_commands mmdebstrap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bootstrap >"$work/rootfs.tar"
add_policy
docker import --change 'CMD ["bash"]' --change 'ENV DEBIAN_FRONTEND=noninteractive' --change "LABEL $label" \
  "$work/rootfs.tar" "$image"
