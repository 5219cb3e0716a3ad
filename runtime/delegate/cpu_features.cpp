#include "cpu_features.h"

#if defined(__x86_64__)

#include <cpuid.h>

#include <cstdint>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace larq_melius {
namespace {

// Bits of Intel's manual, volume 2, CPUID: of leaf 1 in ECX, and of leaf 7 in EBX, ECX and EDX.
constexpr uint32_t kFma = 1u << 12;
constexpr uint32_t kOsxsave = 1u << 27;
constexpr uint32_t kAvx2 = 1u << 5;
constexpr uint32_t kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
constexpr uint32_t kAvx512Vpopcntdq = 1u << 14;
constexpr uint32_t kAmx = 1u << 24 | 1u << 25;  // TILE, INT8
// What the system saves, in XCR0: registers of 256 bits, those of 512 bits with the masks, and tiles.
constexpr uint32_t kYmm = 0x6;
constexpr uint32_t kZmm = 0xe6;
constexpr uint32_t kTiles = 0x60000;

bool HasAll(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

// Whether the system saves the registers that these bits of XCR0 stand for.
bool SystemSaves(uint32_t registers) {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !HasAll(c, kOsxsave)) return false;
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return HasAll(low, registers);
}

bool HasLeaf7(uint32_t ebx, uint32_t ecx, uint32_t edx) {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && HasAll(b, ebx) && HasAll(c, ecx) && HasAll(d, edx);
}

}  // namespace

bool HasAvx2() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && HasAll(c, kFma) && HasLeaf7(kAvx2, 0, 0) && SystemSaves(kYmm);
}

bool HasAvx512() { return HasAvx2() && HasLeaf7(kAvx512, kAvx512Vpopcntdq, 0) && SystemSaves(kZmm); }

bool RequestAmx() {
#if defined(__linux__) && !defined(__ANDROID__)
  // Of arch_prctl, since Linux 5.16.
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return HasAvx512() && HasLeaf7(0, 0, kAmx) && SystemSaves(kZmm | kTiles) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace larq_melius

#endif
