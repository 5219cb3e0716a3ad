#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "thread_pool.h"

using larq_melius::ThreadPool;

namespace {

void CheckEveryItemOnce(ThreadPool& pool, int threads, int64_t count, int64_t grain) {
  std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
  pool.Run(threads, count, grain, [&](int64_t begin, int64_t end) {
    CHECK(begin % grain == 0 && end - begin <= grain);
    for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
  });
  for (const std::atomic<int>& visit : visits) CHECK(visit == 1);
}

void TestEveryItemIsVisitedOnce() {
  ThreadPool pool;
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    CheckEveryItemOnce(pool, static_cast<int>(random.Integer(1, 6)), random.Integer(0, 50), random.Integer(1, 9));
  }
}

void TestCallersMayShareAPool() {
  ThreadPool pool;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&pool] {
      for (int round = 0; round < 300; ++round) CheckEveryItemOnce(pool, 3, 20, 2);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void TestUnusedPoolsEnd() {
  for (int i = 0; i < 200; ++i) {
    ThreadPool pool;
    if (i % 2 == 0) CheckEveryItemOnce(pool, 4, 8, 1);
  }
}

}  // namespace

int main() {
  TestEveryItemIsVisitedOnce();
  TestCallersMayShareAPool();
  TestUnusedPoolsEnd();
  return 0;
}
