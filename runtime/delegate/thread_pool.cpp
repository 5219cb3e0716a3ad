#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "float_mode.h"

namespace larq_melius {

namespace {

// How long a thread waits awake before it sleeps. To wake a thread takes longer than most instructions of a network
// do; between those of one inference a helper is back at work well within this time.
constexpr std::chrono::microseconds kAwake(50);

// Waits until `ready()`, but no longer than a thread stays awake. False if it is not ready by then.
template <typename Ready>
bool WaitAwake(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kAwake;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

// One job at a time. Helpers join a job as long as it is open; who comes later has nothing left to do, and nobody waits
// for them.
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
    int helpers = static_cast<int>(std::min<int64_t>(threads, ranges)) - 1;
    std::unique_lock<std::mutex> owner(owner_, std::defer_lock);
    if (helpers <= 0 || !owner.try_lock()) {
      for (int64_t begin = 0; begin < count; begin += grain) work(begin, std::min(begin + grain, count));
      return;
    }
    Grow(helpers);
    helpers = std::min<int>(helpers, static_cast<int>(workers_.size()));
    work_ = &work;
    count_ = count;
    grain_ = grain;
    Divide(ranges, helpers + 1);
    // Either this sees who sleeps, or who is about to sleep sees the open job.
    open_active_.store(helpers * kOpen);
    if (sleepers_.load() > 0) {
      { const std::lock_guard<std::mutex> lock(mutex_); }
      wake_.notify_all();
    }
    TakeRanges(0);
    const int32_t active = open_active_.fetch_and(kOpen - 1) & (kOpen - 1);
    if (active > 0) WaitForHelpers();
    work_ = nullptr;
  }

 private:
  // A system that refuses a thread gets by with those there are.
  void Grow(int helpers) {
    try {
      while (static_cast<int>(workers_.size()) < helpers) {
        const size_t number = workers_.size() + 1;
        workers_.emplace_back([this, number] { Work(number); });
      }
    } catch (const std::system_error&) {
    }
  }

  // Gives each thread a share of neighboring ranges, in whole ranges.
  void Divide(int64_t ranges, int threads) {
    if (shares_.size() < static_cast<size_t>(threads)) shares_ = std::vector<Share>(static_cast<size_t>(threads));
    share_count_ = static_cast<size_t>(threads);
    for (int64_t i = 0; i < threads; ++i) {
      Share& share = shares_[static_cast<size_t>(i)];
      share.next.store(ranges * i / threads * grain_, std::memory_order_relaxed);
      share.end = std::min(ranges * (i + 1) / threads * grain_, count_);
    }
  }

  // `number` is the same in all jobs: a thread finds in its core's caches what it has made of the map before.
  void Work(size_t number) {
    const ScopedFlushDenormals mode;
    while (WaitForJob()) {
      if (!Join()) continue;
      TakeRanges(number);
      if (open_active_.fetch_sub(1) == 1 && owner_sleeps_.load()) {
        { const std::lock_guard<std::mutex> lock(mutex_); }
        done_.notify_one();
      }
    }
  }

  // False if the pool is about to end.
  bool WaitForJob() {
    const auto open = [this] { return open_active_.load() >= kOpen || stopping_.load(); };
    if (!WaitAwake(open)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, open);
      sleepers_.fetch_sub(1);
    }
    return !stopping_.load();
  }

  // Becomes active in the job, if it is still open.
  bool Join() {
    int32_t state = open_active_.load();
    while (state >= kOpen) {
      if (open_active_.compare_exchange_weak(state, state - kOpen + 1)) return true;
    }
    return false;
  }

  void WaitForHelpers() {
    const auto done = [this] { return open_active_.load() == 0; };
    if (WaitAwake(done)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    owner_sleeps_ = true;
    done_.wait(lock, done);
    owner_sleeps_ = false;
  }

  // Its own share first, then what is left of the others.
  void TakeRanges(size_t number) {
    for (size_t i = 0; i < share_count_; ++i) {
      Share& share = shares_[(number + i) % share_count_];
      while (true) {
        const int64_t begin = share.next.fetch_add(grain_, std::memory_order_relaxed);
        if (begin >= share.end) break;
        (*work_)(begin, std::min(begin + grain_, share.end));
      }
    }
  }

  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  // A place for a helper in the job, in open_active_.
  static constexpr int32_t kOpen = 1 << 16;

  std::mutex owner_;
  std::vector<std::thread> workers_;
  std::atomic<bool> stopping_{false};

  // The job, which changes only while nobody is active in it and none can join.
  const std::function<void(int64_t, int64_t)>* work_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::vector<Share> shares_;
  size_t share_count_ = 0;
  // kOpen times the helpers that may still join, plus those that are active.
  std::atomic<int32_t> open_active_{0};

  // For those that sleep.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> owner_sleeps_{false};
};

ThreadPool::ThreadPool() : implementation_(std::make_unique<Implementation>()) {}
ThreadPool::~ThreadPool() = default;

void ThreadPool::Run(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
  implementation_->Run(threads, count, grain, work);
}

}  // namespace larq_melius
