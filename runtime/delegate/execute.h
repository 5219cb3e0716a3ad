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
  // For a part of the work that one of the threads does, with values elsewhere.
  RunContext ForOneThread(const std::vector<void*>& values) const { return RunContext(pool_, 1, values); }
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

class RowExecutable;

// An instruction with its kernel chosen and its constants in the form that the kernel takes.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual void Run(const RunContext& context) const = 0;
  // Memory it needs while it runs.
  virtual int64_t scratch_bytes() const { return 0; }
  // Kernel and layout, for the dump.
  virtual std::string Describe() const = 0;
  // Itself, where it is one.
  virtual const RowExecutable* by_rows() const { return nullptr; }
};

struct RowRange {
  int64_t begin;
  int64_t end;
};

// Those that a window meets on its way over these rows of the output, some of which may lie outside of the map.
inline RowRange WindowRows(RowRange rows, int64_t stride, int64_t pad_top, int64_t window) {
  return {rows.begin * stride - pad_top, (rows.end - 1) * stride - pad_top + window};
}

// One that can make the rows of its output a few at a time.
class RowExecutable : public Executable {
 public:
  // For a map of that shape, [images, rows, columns, channels].
  explicit RowExecutable(const Shape& shape) : images_(shape[0]), rows_(shape[1]) {}

  void Run(const RunContext& context) const override {
    for (int64_t image = 0; image < images_; ++image) RunRows(context, image, {0, rows_});
  }
  int64_t images() const { return images_; }
  int64_t rows() const { return rows_; }
  const RowExecutable* by_rows() const override { return this; }

  // How many rows it makes at a time at best, beginning with a multiple.
  virtual int64_t row_step() const = 0;
  // What is read for these rows, some of which may lie outside of the input.
  virtual RowRange InputRows(RowRange rows) const = 0;
  virtual void RunRows(const RunContext& context, int64_t image, RowRange rows) const = 0;

 private:
  int64_t images_;
  int64_t rows_;
};

class RowChain;

// A program with its memory.
class CompiledProgram {
 public:
  // Takes a program with shapes and layout.
  CompiledProgram(Program program, const Kernels& kernels);
  ~CompiledProgram();

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
  void MakeChains();
  void AllocateMemory();
  void RunChain(RowChain& chain, const RunContext& context);
  void Note(size_t instruction, int64_t nanoseconds);

  Program program_;
  std::vector<int> external_values_;
  std::map<int, PackedMap> maps_;  // of values that are packed maps
  std::vector<std::unique_ptr<Executable>> executables_;
  std::vector<std::unique_ptr<RowChain>> chains_;
  std::vector<RowChain*> chain_of_;  // each instruction; null for those that do not take turns
  std::vector<bool> is_empty_;       // of each: there is nothing to compute
  AlignedBuffer<uint8_t> memory_;
  std::vector<void*> scratch_;              // of each executable
  std::vector<void*> values_;               // by their index
  std::vector<int64_t> least_nanoseconds_;  // of each instruction; empty unless measured, 0 before the first run
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_EXECUTE_H_
