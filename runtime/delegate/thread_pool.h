// Threads that share the work of one instruction. They wait for the next one awake for a moment, then asleep.
#ifndef LARQ_MELIUS_DELEGATE_THREAD_POOL_H_
#define LARQ_MELIUS_DELEGATE_THREAD_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>

namespace larq_melius {

class ThreadPool {
 public:
  ThreadPool();
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls `work(begin, end)` for ranges of at most `grain` items that together make up [0, count), on up to `threads`
  // threads, the caller's among them, and returns when all are done. The ranges do not depend on the number of threads.
  //
  // All threads flush denormal floats to zero meanwhile. If another thread is using the pool, the caller does all the
  // work itself. `work` must not throw.
  void Run(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_THREAD_POOL_H_
