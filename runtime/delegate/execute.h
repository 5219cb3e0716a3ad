// Step 5 of the compiler: makes a program with known shapes runnable, and runs it.
#ifndef LARQ_MELIUS_DELEGATE_EXECUTE_H_
#define LARQ_MELIUS_DELEGATE_EXECUTE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base.h"
#include "kernels/kernels.h"
#include "plan.h"
#include "program.h"
#include "thread_pool.h"

namespace larq_melius {

// Where values and scratch memory are, and who does the work, during one run.
class RunContext {
 public:
  RunContext(ThreadPool& pool, int threads) : pool_(pool), threads_(threads) {}

  void SetValue(int index, void* data) { values_[index] = data; }
  void SetScratch(void* data) { scratch_ = data; }

  template <typename T>
  T* value(int index) const {
    return static_cast<T*>(values_.at(index));
  }
  template <typename T>
  T* scratch() const {
    return static_cast<T*>(scratch_);
  }
  // See ThreadPool::Run; `cost` is about how many nanoseconds an item takes, so that small work stays on one thread.
  template <typename Work>
  void Parallel(int64_t count, int64_t grain, const Work& work) const {
    pool_.Run(threads_, count, grain, work);
  }
  int threads() const { return threads_; }

 private:
  ThreadPool& pool_;
  int threads_;
  std::map<int, void*> values_;
  void* scratch_ = nullptr;
};

// An instruction with its kernel chosen and its constants in the form that the kernel takes.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual void Run(const RunContext& context) const = 0;
  // Memory it needs while it runs.
  virtual int64_t scratch_bytes() const { return 0; }
  // Kernel and layout, for the dump.
  virtual std::string Describe() const = 0;
};

std::unique_ptr<Executable> MakeExecutable(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels);

// A program with its memory.
class CompiledProgram {
 public:
  CompiledProgram(Program program, const Kernels& kernels);

  const Program& program() const { return program_; }
  // Runs it. `external` has the data of every external value; there is nothing to do where a value is empty.
  void Run(ThreadPool& pool, int threads, const std::map<int, void*>& external);
  // The plan as text, one instruction a line.
  std::string Dump() const;

 private:
  Program program_;
  std::vector<std::unique_ptr<Executable>> executables_;
  // Of internal values, by their index, and of the scratch memory of each instruction.
  std::map<int, int64_t> value_offsets_;
  std::vector<int64_t> scratch_offsets_;
  AlignedBuffer<uint8_t> memory_;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_EXECUTE_H_
