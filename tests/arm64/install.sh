#!/usr/bin/env bash
# Puts an emulated ARM64 computer into a folder: Debian's Python, NumPy and LiteRT, run by QEMU.
#
#   install.sh FOLDER     then FOLDER/python runs Python, with QEMU_OPTIONS as options for QEMU, and FOLDER/qemu a static
#                         program
#
# Needs Debian's apt and dpkg, but not root. QEMU is the system's, or Debian's package in the same folder.
set -euo pipefail
folder=$(realpath -m "$1")
host_python=${PYTHON:-python3}
rm -rf "$folder"
mkdir -p "$folder/root/site" "$folder/root/proc"

# Downloads Debian packages with all that they depend on, and unpacks them: ARCHITECTURE FOLDER PACKAGE...
unpack() {
  local architecture=$1 target=$2 state="$folder/apt-$1"
  shift 2
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  local options=(
    -qq -oAPT::Architecture="$architecture" -oAPT::Architectures="$architecture" -oDebug::NoLocking=1
    -oAPT::Sandbox::User= -oDir::State::Lists="$state/lists" -oDir::State::status=/dev/null -oDir::Cache="$state/cache"
  )
  apt-get "${options[@]}" update
  apt-get "${options[@]}" --yes --no-install-recommends --download-only install "$@"
  for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$target"; done
  rm -rf "$state"
}

unpack arm64 "$folder/root" python3-minimal libpython3-stdlib libstdc++6
version=$(basename "$(realpath "$folder/root/usr/bin/python3")")
version=${version#python}
"$host_python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
  --platform manylinux_2_17_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
  --dest "$folder/wheels" numpy==1.26.4 ai-edge-litert==2.3.0 lazy-loader 'wrapt>=1.15' packaging
for wheel in "$folder"/wheels/*.whl; do "$host_python" -m zipfile -e "$wheel" "$folder/root/site"; done
rm -rf "$folder/wheels"

# LiteRT looks the processor up, and crashes on the host's.
printf '%s\n' 'processor : 0' 'Features : fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm asimddp' \
  'CPU implementer : 0x41' 'CPU architecture: 8' 'CPU variant : 0x3' 'CPU part : 0xd0b' 'CPU revision : 1' \
  > "$folder/root/proc/cpuinfo"

qemu=$(command -v qemu-aarch64 || true)
if [ -z "$qemu" ]; then
  unpack "$(dpkg --print-architecture)" "$folder/host" qemu-user
  loader=$(realpath "$(find "$folder/host" -name 'ld-linux*.so.*' | head -1)")
  libraries=$(find "$folder/host" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)
  qemu="$loader --library-path $libraries $folder/host/usr/bin/qemu-aarch64"
fi
# A processor with the dot product. With "-cpu max", NumPy's OpenBLAS computes wrong products.
cat > "$folder/python" <<EOF
#!/bin/sh
export PYTHONHOME="$folder/root/usr" PYTHONPATH="$folder/root/site\${PYTHONPATH:+:\$PYTHONPATH}"
exec $qemu -L "$folder/root" -cpu cortex-a76 \$QEMU_OPTIONS "$folder/root/usr/bin/python$version" "\$@"
EOF
printf '%s\n' '#!/bin/sh' "exec $qemu -cpu cortex-a76 \"\$@\"" > "$folder/qemu"
chmod +x "$folder/python" "$folder/qemu"
"$folder/python" -c 'import platform, ai_edge_litert.interpreter; print("Python", platform.python_version(), platform.machine())'
