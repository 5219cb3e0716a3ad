// Which instructions this processor has and the system lets programs use.
//
// __builtin_cpu_supports would tell, but Zig's runtime library, with which the libraries for other machines are linked,
// answers it with "none".
#ifndef LARQ_MELIUS_DELEGATE_CPU_FEATURES_H_
#define LARQ_MELIUS_DELEGATE_CPU_FEATURES_H_

namespace larq_melius {

#if defined(__x86_64__)
// With FMA.
bool HasAvx2();
// With the subsets that kernels/avx512.cpp is compiled for.
bool HasAvx512();
// With AVX-512. Linux gives a process the registers of AMX only when it asks for them, which this does.
bool RequestAmx();
#endif

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_CPU_FEATURES_H_
