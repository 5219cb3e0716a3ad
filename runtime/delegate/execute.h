// Steps 5 and 6 of the compiler: chooses an executable for each instruction, plans their memory, and runs them.
#ifndef LARQ_MELIUS_DELEGATE_EXECUTE_H_
#define LARQ_MELIUS_DELEGATE_EXECUTE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base.h"
#include "kernels/kernels.h"
#include "packed_map.h"
#include "plan.h"
#include "program.h"
#include "thread_pool.h"

namespace larq_melius {

// Where values and scratch memory are, and who does the work, during one run.
class RunContext {
 public:
  RunContext(ThreadPool& pool, int threads, const std::vector<void*>& values)
      : pool_(pool), threads_(threads), values_(values) {}

  void SetScratch(void* data) { scratch_ = data; }

  // The first element of a value; of a map in a shared buffer, the first of its channels.
  template <typename T>
  T* value(int index) const {
    return static_cast<T*>(values_[static_cast<size_t>(index)]);
  }
  template <typename T>
  T* scratch() const {
    return static_cast<T*>(scratch_);
  }
  int threads() const { return threads_; }
  // See ThreadPool::Run.
  template <typename Work>
  void Parallel(int64_t count, int64_t grain, const Work& work) const {
    pool_.Run(threads_, count, grain, work);
  }

 private:
  ThreadPool& pool_;
  int threads_;
  const std::vector<void*>& values_;  // by their index
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

// A program with its memory.
class CompiledProgram {
 public:
  // Takes a program with shapes and layout.
  CompiledProgram(Program program, const Kernels& kernels);

  const Program& program() const { return program_; }
  const std::vector<int>& external_values() const { return external_values_; }
  // Runs it. `external` has the data of every external value.
  void Run(ThreadPool& pool, int threads, const std::map<int, void*>& external);
  // From now on, measures the time of each instruction.
  void Profile() { least_nanoseconds_.assign(executables_.size(), 0); }
  // The least time that an instruction took in any run that was measured, 0 without.
  int64_t LeastNanoseconds(size_t instruction) const {
    return least_nanoseconds_.empty() ? 0 : least_nanoseconds_[instruction];
  }
  // The plan as text, one instruction a line, each with the least time that it took in any run that was measured.
  std::string Dump() const;

 private:
  void MakeExecutables(const Kernels& kernels);
  void AllocateMemory();

  Program program_;
  std::vector<int> external_values_;
  std::map<int, PackedMap> maps_;  // of values that are packed maps
  std::vector<std::unique_ptr<Executable>> executables_;
  std::vector<bool> is_empty_;  // of each: there is nothing to compute
  AlignedBuffer<uint8_t> memory_;
  std::vector<void*> scratch_;              // of each executable
  std::vector<void*> values_;               // by their index
  std::vector<int64_t> least_nanoseconds_;  // of each instruction; empty unless measured, 0 before the first run
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_EXECUTE_H_
