// kernels/amx.cpp with its instructions emulated, under another name.
#undef __AMX_TILE__
#undef __AMX_INT8__
#define __AMX_TILE__ 1
#define __AMX_INT8__ 1
#define AmxKernels EmulatedAmxKernels
#define Avx512Kernels EmulatedAvx512Kernels
#include "kernels/amx.cpp"
