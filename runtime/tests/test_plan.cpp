#include "check.h"
#include "plan.h"

using larq_melius::BufferRequest;
using larq_melius::MemoryPlan;
using larq_melius::PlanMemory;

namespace {

void TestBuffersThatLiveTogetherDoNotOverlap() {
  Random random(2);
  for (int round = 0; round < 300; ++round) {
    std::vector<BufferRequest> requests;
    for (int64_t i = random.Integer(0, 30); i > 0; --i) {
      const int first = static_cast<int>(random.Integer(0, 20));
      requests.push_back({random.Integer(0, 1000), first, first + static_cast<int>(random.Integer(0, 5))});
    }
    const MemoryPlan plan = PlanMemory(requests);
    CHECK(plan.offsets.size() == requests.size());
    for (size_t a = 0; a < requests.size(); ++a) {
      CHECK(plan.offsets[a] % 64 == 0);
      CHECK(plan.offsets[a] + requests[a].bytes + 64 <= plan.bytes);
      for (size_t b = 0; b < a; ++b) {
        const bool together = requests[a].first <= requests[b].last && requests[b].first <= requests[a].last;
        const bool apart = plan.offsets[a] + requests[a].bytes <= plan.offsets[b] ||
                           plan.offsets[b] + requests[b].bytes <= plan.offsets[a];
        CHECK(apart || !together);
      }
    }
  }
}

void TestBuffersThatLiveApartShareMemory() {
  const MemoryPlan plan = PlanMemory({{4096, 0, 1}, {4096, 2, 3}, {4096, 4, 5}});
  CHECK(plan.bytes < 2 * 4096);
}

}  // namespace

int main() {
  TestBuffersThatLiveTogetherDoNotOverlap();
  TestBuffersThatLiveApartShareMemory();
  return 0;
}
