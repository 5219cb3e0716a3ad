#include "host.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <iterator>

namespace larq_melius::program {

Host::Host(int threads) {
  context_.impl = this;
  context_.GetExecutionPlan = GetExecutionPlan;
  context_.ResizeTensor = ResizeTensor;
  context_.ReportError = ReportError;
  context_.GetNodeAndRegistration = GetNodeAndRegistration;
  context_.ReplaceNodeSubsetsWithDelegateKernels = ReplaceNodes;
  context_.recommended_num_threads = threads;
}

Host::~Host() {
  for (const auto& partition : partitions_) {
    if (partition != nullptr && partition->node.user_data != nullptr) {
      partition->registration.free(&context_, partition->node.user_data);
    }
  }
  for (TfLiteTensor& tensor : tensors_) std::free(tensor.dims);
}

int Host::AddTensor(TfLiteType type, const std::vector<int>& shape, float scale, int zero_point) {
  TfLiteTensor tensor = {};
  tensor.type = type;
  tensor.dims = MakeArray(shape).release();
  tensor.params = {scale, zero_point};
  tensors_.push_back(tensor);
  return static_cast<int>(tensors_.size()) - 1;
}

void Host::SetConstant(int index, const void* data, size_t bytes) {
  TfLiteTensor& constant = tensor(index);
  constant.allocation_type = kTfLiteMmapRo;
  constant.data = const_cast<void*>(data);
  constant.bytes = bytes;
}

int Host::AddNode(int32_t builtin_code, const std::string& custom_name, const std::vector<int>& inputs,
                  const std::vector<int>& outputs, const void* custom_options, size_t custom_options_bytes,
                  void* builtin_data) {
  nodes_.emplace_back();
  Node& node = nodes_.back();
  node.inputs = MakeArray(inputs);
  node.outputs = MakeArray(outputs);
  node.name = custom_name;
  const auto* options = static_cast<const uint8_t*>(custom_options);
  if (custom_options_bytes != 0) node.options.assign(options, options + custom_options_bytes);
  node.node.inputs = node.inputs.get();
  node.node.outputs = node.outputs.get();
  node.node.builtin_data = builtin_data;
  node.node.custom_initial_data = node.options.data();
  node.node.custom_initial_data_size = static_cast<int>(node.options.size());
  node.registration.builtin_code = builtin_code;
  node.registration.custom_name = node.name.c_str();
  return static_cast<int>(nodes_.size()) - 1;
}

bool Host::Apply(TfLiteDelegate* delegate) {
  context_.tensors = tensors_.data();
  context_.tensors_size = tensors_.size();
  MakeSteps({});
  return delegate == nullptr || delegate->Prepare(&context_, delegate) == kTfLiteOk;
}

bool Host::Prepare(size_t step) {
  Partition& partition = *partitions_.at(step);
  return partition.registration.prepare(&context_, &partition.node) == kTfLiteOk;
}

bool Host::Invoke(size_t step) {
  Partition& partition = *partitions_.at(step);
  return partition.registration.invoke(&context_, &partition.node) == kTfLiteOk;
}

void Host::Resize(int index, const std::vector<int>& shape) {
  TfLiteTensor& resized = tensor(index);
  std::free(resized.dims);
  resized.dims = MakeArray(shape).release();
}

Host::IntArray Host::MakeArray(const std::vector<int>& values) {
  const size_t bytes = offsetof(TfLiteIntArray, data) + sizeof(int) * std::max<size_t>(values.size(), 1);
  IntArray array(static_cast<TfLiteIntArray*>(std::malloc(bytes)));
  if (array == nullptr) throw std::bad_alloc();
  array->size = static_cast<int>(values.size());
  if (!values.empty()) std::memcpy(array->data, values.data(), values.size() * sizeof(int));
  return array;
}

// Operators are taken as soon as what they read is there, those of the kind at hand (the delegate's or not) as long as
// there are any: the delegate's become as few steps as TFLite makes of them.
void Host::MakeSteps(const std::set<int>& claimed) {
  steps_.clear();
  partitions_.clear();
  std::set<int> pending_values;
  for (const Node& node : nodes_) {
    for (int k = 0; k < node.outputs->size; ++k) pending_values.insert(node.outputs->data[k]);
  }
  std::vector<int> pending;
  for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) pending.push_back(i);
  const auto is_ready = [&](int index) {
    const Node& node = nodes_[static_cast<size_t>(index)];
    const int* own = node.outputs->data;
    return std::none_of(node.inputs->data, node.inputs->data + node.inputs->size, [&](int input) {
      return pending_values.count(input) != 0 &&
             std::find(own, own + node.outputs->size, input) == own + node.outputs->size;
    });
  };
  bool delegated = false;
  bool stuck = false;
  while (!pending.empty()) {
    Step step;
    step.delegated = delegated;
    std::vector<int> rest;
    for (int index : pending) {
      if ((claimed.count(index) != 0) != delegated || !is_ready(index)) {
        rest.push_back(index);
        continue;
      }
      const TfLiteIntArray& outputs = *nodes_[static_cast<size_t>(index)].outputs;
      for (int k = 0; k < outputs.size; ++k) pending_values.erase(outputs.data[k]);
      if (delegated) {
        step.nodes.push_back(index);
      } else {
        steps_.push_back({{index}, false, {}, {}});
      }
    }
    Require(rest.size() < pending.size() || !stuck, "the operators are not in an order in which they can run");
    stuck = rest.size() == pending.size();
    if (!step.nodes.empty()) steps_.push_back(step);
    pending = std::move(rest);
    delegated = !delegated;
  }
  for (Step& step : steps_) FindOperands(step);
  partitions_.resize(steps_.size());
}

void Host::FindOperands(Step& step) const {
  if (!step.delegated) {
    const Node& node = nodes_[static_cast<size_t>(step.nodes[0])];
    std::copy_if(node.inputs->data, node.inputs->data + node.inputs->size, std::back_inserter(step.inputs),
                 [&](int index) { return IsTensor(index); });
    step.outputs.assign(node.outputs->data, node.outputs->data + node.outputs->size);
    return;
  }
  const std::set<int> own(step.nodes.begin(), step.nodes.end());
  std::set<int> read, written, read_elsewhere;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const bool inside = own.count(static_cast<int>(i)) != 0;
    const TfLiteIntArray& inputs = *nodes_[i].inputs;
    (inside ? read : read_elsewhere).insert(inputs.data, inputs.data + inputs.size);
    if (inside) written.insert(nodes_[i].outputs->data, nodes_[i].outputs->data + nodes_[i].outputs->size);
  }
  for (int index : read) {
    if (IsTensor(index) && written.count(index) == 0) step.inputs.push_back(index);
  }
  for (int index : written) {
    if (read_elsewhere.count(index) != 0 || outputs_.count(index) != 0) step.outputs.push_back(index);
  }
}

TfLiteStatus Host::GetExecutionPlan(TfLiteContext* context, TfLiteIntArray** plan) {
  Host& self = Self(context);
  std::vector<int> indices(self.nodes_.size());
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<int>(i);
  self.plan_ = MakeArray(indices);
  *plan = self.plan_.get();
  return kTfLiteOk;
}

TfLiteStatus Host::GetNodeAndRegistration(TfLiteContext* context, int index, TfLiteNode** node,
                                          TfLiteRegistration** registration) {
  Node& found = Self(context).nodes_[static_cast<size_t>(index)];
  *node = &found.node;
  *registration = &found.registration;
  return kTfLiteOk;
}

TfLiteStatus Host::ResizeTensor(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* shape) {
  std::free(tensor->dims);
  tensor->dims = shape;
  Host& self = Self(context);
  if (self.on_resize_) self.on_resize_(static_cast<int>(tensor - self.tensors_.data()));
  return kTfLiteOk;
}

void Host::ReportError(TfLiteContext* context, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  Self(context).error_ = text;
}

TfLiteStatus Host::ReplaceNodes(TfLiteContext* context, TfLiteRegistration registration, const TfLiteIntArray* nodes,
                                TfLiteDelegate* delegate) {
  Host& self = Self(context);
  try {
    self.MakeSteps(std::set<int>(nodes->data, nodes->data + nodes->size));
  } catch (const Error& error) {
    self.error_ = error.what();
    return kTfLiteError;
  }
  for (size_t i = 0; i < self.steps_.size(); ++i) {
    const Step& step = self.steps_[i];
    if (!step.delegated) continue;
    auto partition = std::make_unique<Partition>();
    partition->nodes = MakeArray(step.nodes);
    partition->inputs = MakeArray(step.inputs);
    partition->outputs = MakeArray(step.outputs);
    partition->params = {delegate, partition->nodes.get(), partition->inputs.get(), partition->outputs.get()};
    partition->registration = registration;
    partition->node.inputs = partition->inputs.get();
    partition->node.outputs = partition->outputs.get();
    partition->node.user_data = registration.init(context, reinterpret_cast<const char*>(&partition->params), 0);
    self.partitions_[i] = std::move(partition);
  }
  return kTfLiteOk;
}

}  // namespace larq_melius::program
