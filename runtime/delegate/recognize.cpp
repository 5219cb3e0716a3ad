#include "recognize.h"

#include <map>

#include "graph.h"
#include "program.h"

namespace larq_melius {
namespace {

struct Candidate {
  int node_index = 0;
  bool taken = false;
  // Tensors that are not constants.
  std::vector<int> tensors;
};

// Whether the delegate can run it: whether it can be translated.
bool IsGlue(TfLiteContext* context, int node_index, std::vector<int>* tensors) {
  try {
    const Graph graph = ReadGraph(context, {node_index});
    const Instruction instruction = LowerNode(graph, graph.nodes[0]);
    *tensors = instruction.inputs;
    tensors->push_back(instruction.output);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<int> TensorsOf(TfLiteContext* context, int node_index) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  std::vector<int> tensors;
  if (context->GetNodeAndRegistration(context, node_index, &node, &registration) != kTfLiteOk) return tensors;
  for (const TfLiteIntArray* array : {node->inputs, node->outputs}) {
    // The first input of an operator of LCE is its map.
    if (array != nullptr && array->size > 0) tensors.push_back(array->data[0]);
  }
  return tensors;
}

}  // namespace

std::vector<int> RecognizeNodes(TfLiteContext* context, const std::vector<int>& node_indices, bool glue) {
  std::vector<Candidate> candidates;
  std::multimap<int, size_t> users;  // of each tensor
  std::vector<size_t> pending;
  for (int index : node_indices) {
    const Operator op = ReadOperator(context, index);
    Candidate candidate;
    candidate.node_index = index;
    if (IsLceOperator(op)) {
      candidate.taken = true;
      candidate.tensors = TensorsOf(context, index);
      pending.push_back(candidates.size());
    } else if (op == Operator::kOther || !glue || !IsGlue(context, index, &candidate.tensors)) {
      continue;
    }
    for (int tensor : candidate.tensors) users.emplace(tensor, candidates.size());
    candidates.push_back(std::move(candidate));
  }
  while (!pending.empty()) {
    const size_t current = pending.back();
    pending.pop_back();
    for (int tensor : candidates[current].tensors) {
      const auto [begin, end] = users.equal_range(tensor);
      for (auto user = begin; user != end; ++user) {
        if (candidates[user->second].taken) continue;
        candidates[user->second].taken = true;
        pending.push_back(user->second);
      }
    }
  }
  std::vector<int> taken;
  for (const Candidate& candidate : candidates) {
    if (candidate.taken) taken.push_back(candidate.node_index);
  }
  return taken;
}

}  // namespace larq_melius
