#include "interpreter.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "operator_reader.h"
#include "plan.h"
#include "profile.h"
#include "select.h"

namespace larq_melius::program {
namespace {

using Clock = std::chrono::steady_clock;

int64_t NanosecondsSince(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

TfLiteDelegate* CreateDelegate(const std::map<std::string, std::string>& options) {
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : options) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  static thread_local std::string problem;
  problem.clear();
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(keys.data(), values.data(), keys.size(),
                                                           [](const char* message) { problem = message; });
  Require(delegate != nullptr, problem);
  return delegate;
}

// The instruction set that the delegate uses: that of its options, or else of its environment variable, or the fastest.
const char* IsaOf(const std::map<std::string, std::string>& options) {
  const auto option = options.find("isa");
  const char* environment = std::getenv("LARQ_MELIUS_DELEGATE_ISA");
  return SelectKernels(option != options.end() ? option->second : environment != nullptr ? environment : "").name;
}

bool IsLceOperator(const ModelOperator& op) {
  return op.code == kTfLiteBuiltinCustom && op.custom_name.compare(0, 3, "Lce") == 0;
}

std::string ReasonOf(const Host& host) {
  return host.error().empty() ? "the delegate refuses it without a reason" : host.error();
}

}  // namespace

Interpreter::Interpreter(Model& model, int threads, const std::map<std::string, std::string>& delegate_options)
    : model_(model), threads_(threads), delegate_(CreateDelegate(delegate_options)), host_(threads) {
  const auto profile = delegate_options.find("profile");
  profile_ = profile != delegate_options.end() && profile->second == "1";
  AddModel();
  Require(host_.Apply(delegate_.get()), ReasonOf(host_));
  isa_ = IsaOf(delegate_options);
  const FloatKernels& kernels = SelectFloatKernels(isa_);
  for (size_t i = 0; i < host_.steps().size(); ++i) {
    const Step& step = host_.steps()[i];
    operators_.emplace_back();
    if (step.delegated) {
      uses_delegate_ = true;
      Require(host_.Prepare(i), ReasonOf(host_));
    } else {
      const ModelOperator& op = model_.operators[static_cast<size_t>(step.nodes[0])];
      operators_.back() = MakeOperator(op, model_, host_, kernels, constants_);
    }
  }
  least_nanoseconds_.assign(operators_.size(), 0);
  AllocateMemory();
}

void Interpreter::AddModel() {
  for (const ModelTensor& tensor : model_.tensors) {
    const bool scaled = tensor.scales.size() == 1;
    // A zero point that no integer of the type has would be damage; the delegate takes what is left of it.
    const int zero_point = scaled ? static_cast<int>(tensor.zero_points[0]) : 0;
    const int index = host_.AddTensor(tensor.type, tensor.shape, scaled ? tensor.scales[0] : 0, zero_point);
    if (!tensor.is_constant) continue;
    const uintptr_t address = reinterpret_cast<uintptr_t>(tensor.constant.data);
    if (address % alignof(float) == 0) {
      host_.SetConstant(index, tensor.constant.data, tensor.constant.size);
      continue;
    }
    constants_.emplace_back(static_cast<size_t>(DivideRoundingUp(static_cast<int64_t>(tensor.constant.size), 4)));
    std::copy_n(tensor.constant.data, tensor.constant.size, reinterpret_cast<uint8_t*>(constants_.back().data()));
    host_.SetConstant(index, constants_.back().data(), tensor.constant.size);
  }
  for (ModelOperator& op : model_.operators) {
    host_.AddNode(op.code, op.custom_name, op.inputs, op.outputs, op.custom_options.data, op.custom_options.size,
                  op.builtin_data());
    lce_operators_ += IsLceOperator(op) ? 1 : 0;
  }
  host_.SetOutputs(std::set<int>(model_.outputs.begin(), model_.outputs.end()));
}

// Tensors share one block of memory, except for inputs, which keep their values, and outputs, which are to be read.
void Interpreter::AllocateMemory() {
  std::map<int, BufferRequest> requests;
  const int last_step = static_cast<int>(host_.steps().size());
  const auto use = [&](int index, int first, int last) {
    TfLiteTensor& tensor = host_.tensor(index);
    if (tensor.allocation_type == kTfLiteMmapRo) return;
    Shape shape(tensor.dims->data, tensor.dims->data + tensor.dims->size);
    const size_t element = ElementBytes(tensor.type);
    Require(element != 0, "a tensor has the type " + TypeName(tensor.type) + ", which is not supported");
    const int64_t bytes = ElementCount(shape) * static_cast<int64_t>(element);
    Require(bytes <= kMaxTensorBytes, "a tensor " + ToString(shape) + " is too large");
    BufferRequest& request = requests.emplace(index, BufferRequest{bytes, first, last}).first->second;
    request.first = std::min(request.first, first);
    request.last = std::max(request.last, last);
    tensor.bytes = static_cast<size_t>(bytes);
  };
  for (int input : model_.inputs) use(input, 0, last_step);
  for (int i = 0; i < last_step; ++i) {
    const Step& step = host_.steps()[static_cast<size_t>(i)];
    for (int index : step.inputs) use(index, i, i);
    for (int index : step.outputs) use(index, i, i);
  }
  for (int output : model_.outputs) use(output, last_step, last_step);

  std::vector<BufferRequest> list;
  for (const auto& [index, request] : requests) list.push_back(request);
  const MemoryPlan plan = PlanMemory(list);
  Require(plan.bytes <= kMaxTensorBytes, "its tensors together are too large");
  memory_ = AlignedBuffer<uint8_t>(static_cast<size_t>(plan.bytes));
  size_t i = 0;
  for (const auto& [index, request] : requests) host_.tensor(index).data = memory_.data() + plan.offsets[i++];
}

void Interpreter::Run() {
  delegate_nanoseconds_ = 0;
  const Clock::time_point run_start = Clock::now();
  for (size_t i = 0; i < operators_.size(); ++i) {
    const bool delegated = host_.steps()[i].delegated;
    if (!delegated && operators_[i] == nullptr) continue;
    const Clock::time_point start = Clock::now();
    if (delegated) {
      Require(host_.Invoke(i), ReasonOf(host_));
    } else {
      operators_[i]->Run(host_, pool_, threads_);
    }
    const int64_t nanoseconds = NanosecondsSince(start);
    if (delegated) delegate_nanoseconds_ += nanoseconds;
    int64_t& least = least_nanoseconds_[i];
    least = least == 0 ? nanoseconds : std::min(least, nanoseconds);
  }
  nanoseconds_ = NanosecondsSince(run_start);
}

std::vector<OperatorTime> Interpreter::TakeProfile() {
  std::vector<OperatorTime> times;
  if (!profile_) return times;
  for (size_t i = 0; i < operators_.size(); ++i) {
    const Step& step = host_.steps()[i];
    if (step.delegated) {
      for (const InstructionTime& time : TakeInstructionTimes(host_.user_data(i))) {
        std::string name;
        for (const std::string& op : time.operators) name += (name.empty() ? "" : " + ") + op;
        times.push_back({name, true, time.binary, static_cast<int>(time.operators.size()), time.nanoseconds});
      }
    } else if (operators_[i] != nullptr) {
      const ModelOperator& op = model_.operators[static_cast<size_t>(step.nodes[0])];
      times.push_back({op.name, false, false, 1, least_nanoseconds_[i]});
    }
  }
  return times;
}

}  // namespace larq_melius::program
