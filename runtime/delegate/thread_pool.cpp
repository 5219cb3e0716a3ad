#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "float_mode.h"

namespace larq_melius {

class ThreadPool::Implementation {
 public:
  ~Implementation() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void Run(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
    const ScopedFlushDenormals mode;
    const int64_t ranges = (count + grain - 1) / grain;
    const int helpers = static_cast<int>(std::min<int64_t>(threads, ranges)) - 1;
    std::unique_lock<std::mutex> owner(owner_, std::defer_lock);
    if (helpers <= 0 || !owner.try_lock()) {
      for (int64_t begin = 0; begin < count; begin += grain) work(begin, std::min(begin + grain, count));
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      Grow(helpers);
      work_ = &work;
      count_ = count;
      grain_ = grain;
      next_.store(0, std::memory_order_relaxed);
      wanted_ = std::min<int>(helpers, static_cast<int>(workers_.size()));
    }
    wake_.notify_all();
    TakeRanges();
    std::unique_lock<std::mutex> lock(mutex_);
    // Helpers that have not begun by now have nothing left to do.
    wanted_ = 0;
    done_.wait(lock, [this] { return active_ == 0; });
    work_ = nullptr;
  }

 private:
  // A system that refuses a thread gets by with those there are.
  void Grow(int helpers) {
    try {
      while (static_cast<int>(workers_.size()) < helpers) workers_.emplace_back([this] { Work(); });
    } catch (const std::system_error&) {
    }
  }

  void Work() {
    const ScopedFlushDenormals mode;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || wanted_ > 0; });
      if (stopping_) return;
      --wanted_;
      ++active_;
      lock.unlock();
      TakeRanges();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  void TakeRanges() {
    while (true) {
      const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
      if (begin >= count_) return;
      (*work_)(begin, std::min(begin + grain_, count_));
    }
  }

  std::mutex owner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  bool stopping_ = false;
  int wanted_ = 0;
  int active_ = 0;
  const std::function<void(int64_t, int64_t)>* work_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_{0};
};

ThreadPool::ThreadPool() : implementation_(std::make_unique<Implementation>()) {}
ThreadPool::~ThreadPool() = default;

void ThreadPool::Run(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
  implementation_->Run(threads, count, grain, work);
}

}  // namespace larq_melius
