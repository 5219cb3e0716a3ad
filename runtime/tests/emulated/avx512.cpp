// kernels/avx512.cpp with its instructions emulated, under another name.
#undef __AVX512F__
#undef __AVX512VPOPCNTDQ__
#define __AVX512F__ 1
#define __AVX512VPOPCNTDQ__ 1
#define Avx512Kernels EmulatedAvx512Kernels
#include "kernels/avx512.cpp"
