// Step 3 of the compiler: gives every buffer a place in one block of memory, shared by those that are never alive
// together.
#ifndef LARQ_MELIUS_DELEGATE_PLAN_H_
#define LARQ_MELIUS_DELEGATE_PLAN_H_

#include <vector>

#include "base.h"

namespace larq_melius {

// A buffer, alive from the instruction `first` to the instruction `last`, both included.
struct BufferRequest {
  int64_t bytes = 0;
  int first = 0;
  int last = 0;
};

struct MemoryPlan {
  // One for each request, multiples of 64.
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
};

// Places the buffers, the largest first, each at the lowest offset that is free during its life.
MemoryPlan PlanMemory(const std::vector<BufferRequest>& requests);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PLAN_H_
