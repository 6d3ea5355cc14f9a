// Registers of the processor that the driver's quirks turn on (Intel SDM vol. 3, 2.2.1 and 2.5).
#ifndef NODE_HAX_BACKENDS_HAXM_PROCESSOR_H_
#define NODE_HAX_BACKENDS_HAXM_PROCESSOR_H_

#include <cstdint>

namespace hax::haxm {

inline constexpr uint32_t kEfer = 0xc0000080;
// The driver makes LMA itself, of LME and paging.
inline constexpr uint64_t kEferLma = 0x400;
inline constexpr uint64_t kEferLme = 0x100;
inline constexpr uint64_t kCr0Pe = 1;
inline constexpr uint64_t kCr0Pg = 0x80000000;
inline constexpr uint64_t kCr4Pse = 0x10;
inline constexpr uint64_t kCr4Pae = 0x20;

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_PROCESSOR_H_
