// Runs a model: what the delegate claims in the delegate, the rest in this program's own operators.
#ifndef LARQ_MELIUS_PROGRAM_INTERPRETER_H_
#define LARQ_MELIUS_PROGRAM_INTERPRETER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host.h"
#include "model.h"
#include "operators.h"
#include "thread_pool.h"

namespace larq_melius::program {

struct OperatorTime {
  std::string name;
  bool delegated = false;
  // Whether it is one of LCE's, or has one of its in it.
  bool binary = false;
  int operators = 1;
  // The least of all runs.
  int64_t nanoseconds = 0;
};

class Interpreter {
 public:
  // Prepares a model, which must outlive the interpreter, for `threads` threads. `delegate_options` are those of the
  // delegate (docs/runtime.md); with "profile" = "1", operators are timed.
  //
  // Throws Error if the model cannot be run.
  Interpreter(Model& model, int threads, const std::map<std::string, std::string>& delegate_options = {});

  // Throws Error if the delegate refuses.
  void Run();

  // Of a tensor of the model. Inputs keep their values from run to run.
  TfLiteTensor& tensor(int index) { return host_.tensor(index); }
  // Of all of the last run.
  int64_t nanoseconds() const { return nanoseconds_; }
  int64_t delegate_nanoseconds() const { return delegate_nanoseconds_; }
  // Operators of Larq Compute Engine's, all of which the delegate runs.
  int lce_operators() const { return lce_operators_; }
  bool uses_delegate() const { return uses_delegate_; }
  // The delegate's instruction set.
  const char* isa() const { return isa_; }
  // In the order of execution; to be called once.
  std::vector<OperatorTime> TakeProfile();

 private:
  struct DelegateDeleter {
    void operator()(TfLiteDelegate* delegate) const { tflite_plugin_destroy_delegate(delegate); }
  };

  void AddModel();
  void AllocateMemory();

  Model& model_;
  int threads_;
  bool profile_;
  // The host, which goes first, releases what is the delegate's.
  std::unique_ptr<TfLiteDelegate, DelegateDeleter> delegate_;
  Host host_;
  ThreadPool pool_;
  OwnedConstants constants_;
  std::vector<std::unique_ptr<Operator>> operators_;  // of each step; null where there is none to run
  std::vector<int64_t> least_nanoseconds_;            // of each step
  AlignedBuffer<uint8_t> memory_;
  int64_t nanoseconds_ = 0;
  int64_t delegate_nanoseconds_ = 0;
  int lce_operators_ = 0;
  bool uses_delegate_ = false;
  const char* isa_ = "";
};

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_INTERPRETER_H_
