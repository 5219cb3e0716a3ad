# Cross-compiles the delegate for Android with Zig, without the NDK: for musl, with the C++ library linked in, and linked
# against stand-ins for Android's C library (android/native/android.cmake).
#
#   cmake -S runtime -B build -DCMAKE_TOOLCHAIN_FILE=cross/android.cmake -DZIG=/path/to/zig -DARCHITECTURE=aarch64
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ARCHITECTURE)
set(TARGET ${ARCHITECTURE}-linux-musl)
set(LARQ_MELIUS_ANDROID ON)
if(ARCHITECTURE STREQUAL "aarch64")
  # Android keeps register x18 to itself. As a property of the processor it holds for Zig's C++ library as well.
  set(PROCESSOR_OPTIONS -mcpu=baseline+reserve_x18)
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PROCESSOR_OPTIONS)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
