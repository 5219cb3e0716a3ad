# Cross-compiles for Linux with Zig, which brings Clang, libc++ and the interface of every glibc:
#
#   cmake -S runtime -B build -DCMAKE_TOOLCHAIN_FILE=cross/zig.cmake -DZIG=/path/to/zig -DTARGET=aarch64-linux-gnu.2.28
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG TARGET)
string(REGEX MATCH "^[^-]+" architecture "${TARGET}")
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR "${architecture}")
set(CMAKE_CXX_COMPILER "${ZIG}" c++ -target "${TARGET}" ${PROCESSOR_OPTIONS})
# Zig's libc++ brings megabytes of symbols.
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-s")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-s")
