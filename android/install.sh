#!/usr/bin/env bash
# Installs what the Android app needs to be built and checked, by name, as Debian packages; where that is not possible it
# says what is missing, and fails.
set -euo pipefail
# Package, and a file or a command that shows that it is there.
wanted=(
  openjdk-17-jdk-headless:javac maven:mvn aapt:aapt2 aapt:aapt apksigner:apksigner
  android-framework-res:/usr/share/android-framework-res/framework-res.apk
)
# For "check": what only the checks need.
checks=(dexdump:dexdump adb:adb qemu-user:qemu-aarch64 libc6-arm64-cross:/usr/aarch64-linux-gnu/lib/libm.so.6)
if [ "${1:-}" = check ]; then wanted+=("${checks[@]}"); fi

missing=()
for entry in "${wanted[@]}"; do
  if ! command -v "${entry#*:}" > /dev/null && [ ! -e "${entry#*:}" ]; then missing+=("${entry%%:*}"); fi
done
if [ ${#missing[@]} = 0 ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "The Android app needs these Debian packages, which are not installed: ${missing[*]}" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" > /dev/null
