// TensorFlow Lite's part toward a delegate: tensors and operators, as the delegate sees them through TfLiteContext, and
// the runs of operators that it takes over.
//
// It neither gives memory to tensors nor runs operators that the delegate leaves: that is up to who uses it. The
// delegate's own tests use it, too.
#ifndef LARQ_MELIUS_PROGRAM_HOST_H_
#define LARQ_MELIUS_PROGRAM_HOST_H_

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base.h"
#include "tflite_abi.h"

extern "C" TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                                         size_t count, void (*report_error)(const char*));
extern "C" void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

namespace larq_melius::program {

// What runs at one time: an operator, or several that the delegate runs as one.
struct Step {
  // The operators; one that the delegate does not run is alone.
  std::vector<int> nodes;
  bool delegated = false;
  // Tensors that it reads and others write, and that it writes and others read or the network gives out.
  std::vector<int> inputs;
  std::vector<int> outputs;
};

class Host {
 public:
  explicit Host(int threads = 1);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void SetThreads(int threads) { context_.recommended_num_threads = threads; }

  int AddTensor(TfLiteType type, const std::vector<int>& shape, float scale = 0, int zero_point = 0);
  // Makes a tensor a constant. The data must outlive the host.
  void SetConstant(int index, const void* data, size_t bytes);
  // `builtin_data` must outlive the host.
  int AddNode(int32_t builtin_code, const std::string& custom_name, const std::vector<int>& inputs,
              const std::vector<int>& outputs, const void* custom_options, size_t custom_options_bytes,
              void* builtin_data);
  void SetOutputs(const std::set<int>& outputs) { outputs_ = outputs; }

  // Shows the graph to the delegate, which must outlive the host, and lines up what runs after what. Without a
  // delegate, every operator is a step of its own. False if the delegate refuses.
  bool Apply(TfLiteDelegate* delegate);

  const std::vector<Step>& steps() const { return steps_; }
  // Of a step that is the delegate's: has it compute the shapes of its outputs, and later run. False if it refuses.
  bool Prepare(size_t step);
  bool Invoke(size_t step);
  // The delegate's own data of such a step.
  void* user_data(size_t step) { return partitions_.at(step)->node.user_data; }

  TfLiteTensor& tensor(int index) { return tensors_[static_cast<size_t>(index)]; }
  size_t tensor_count() const { return tensors_.size(); }
  // Changes a tensor's shape, but not its memory.
  void Resize(int index, const std::vector<int>& shape);
  // Called after the delegate has changed a tensor's shape.
  void OnResize(std::function<void(int)> callback) { on_resize_ = std::move(callback); }
  // What the delegate reported last.
  const std::string& error() const { return error_; }

 private:
  using IntArray = std::unique_ptr<TfLiteIntArray, FreeDeleter>;

  struct Node {
    IntArray inputs;
    IntArray outputs;
    std::string name;
    std::vector<uint8_t> options;
    TfLiteNode node = {};
    TfLiteRegistration registration = {};
  };

  // Operators that the delegate runs as one.
  struct Partition {
    IntArray nodes;
    IntArray inputs;
    IntArray outputs;
    TfLiteDelegateParams params = {};
    TfLiteRegistration registration = {};
    TfLiteNode node = {};
  };

  static IntArray MakeArray(const std::vector<int>& values);
  static Host& Self(TfLiteContext* context) { return *static_cast<Host*>(context->impl); }
  static TfLiteStatus GetExecutionPlan(TfLiteContext* context, TfLiteIntArray** plan);
  static TfLiteStatus GetNodeAndRegistration(TfLiteContext* context, int index, TfLiteNode** node,
                                             TfLiteRegistration** registration);
  static TfLiteStatus ResizeTensor(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* shape);
  static void ReportError(TfLiteContext* context, const char* format, ...);
  static TfLiteStatus ReplaceNodes(TfLiteContext* context, TfLiteRegistration registration, const TfLiteIntArray* nodes,
                                   TfLiteDelegate* delegate);

  void MakeSteps(const std::set<int>& claimed);
  void FindOperands(Step& step) const;
  bool IsTensor(int index) const { return index >= 0 && static_cast<size_t>(index) < tensors_.size(); }

  TfLiteContext context_ = {};
  std::vector<TfLiteTensor> tensors_;
  std::deque<Node> nodes_;
  std::set<int> outputs_;
  std::vector<Step> steps_;
  std::vector<std::unique_ptr<Partition>> partitions_;  // of each step; null where it is not the delegate's
  std::function<void(int)> on_resize_;
  IntArray plan_;
  std::string error_;
};

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_HOST_H_
