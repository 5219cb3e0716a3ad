#include "execute.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "binary_conv.h"
#include "bit_operators.h"
#include "float_conv.h"
#include "float_operators.h"
#include "row_chain.h"

namespace larq_melius {
namespace {

int64_t ElementBytes(Type type) { return type == Type::kFloat32 || type == Type::kInt32 ? 4 : 1; }

// The maps of signs that only binary convolutions read, all in the same form: those are packed in that form at once.
std::map<int, PackedMap> ChoosePackedMaps(const Program& program, const Kernels& kernels) {
  std::map<int, PackedMap> maps;
  for (const Instruction& pack : program.instructions) {
    if (pack.kind != InstructionKind::kPack || program.values.at(pack.output).external()) continue;
    bool fits = true;
    bool found = false;
    PackedMap map;
    for (const Instruction& reader : program.instructions) {
      if (std::find(reader.inputs.begin(), reader.inputs.end(), pack.output) == reader.inputs.end()) continue;
      if (reader.kind != InstructionKind::kBinaryConv) {
        fits = false;
        break;
      }
      const PackedMap wanted = PackedMapOf(program, reader, kernels);
      fits = fits && (!found || wanted == map) && wanted.pixel_words <= kMaxMapWords;
      map = wanted;
      found = true;
    }
    if (fits && found) maps[pack.output] = map;
  }
  return maps;
}

std::unique_ptr<Executable> MakeExecutable(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels, const std::map<int, PackedMap>& maps) {
  switch (instruction.kind) {
    case InstructionKind::kPack: {
      const auto map = maps.find(instruction.output);
      return MakePack(program, instruction, kernels, map == maps.end() ? nullptr : &map->second);
    }
    case InstructionKind::kUnpack: return MakeUnpack(program, instruction);
    case InstructionKind::kBinaryConv:
      return MakeBinaryConv(program, instruction, kernels, maps.count(instruction.inputs[0]) != 0);
    case InstructionKind::kBinaryMaxPool: return MakeBinaryMaxPool(program, instruction);
    case InstructionKind::kAffine: return MakeAffine(program, instruction, kernels);
    case InstructionKind::kAdd: return MakeAdd(program, instruction, kernels);
    case InstructionKind::kConcatenate: return MakeConcatenate(program, instruction);
    case InstructionKind::kPad: return MakePad(program, instruction);
    case InstructionKind::kMaxPool: return MakeMaxPool(program, instruction, kernels);
    case InstructionKind::kConv: return MakeConv(program, instruction, kernels);
    case InstructionKind::kReshape: return MakeReshape(program, instruction);
    case InstructionKind::kTranspose: return MakeTranspose(program, instruction, kernels);
    case InstructionKind::kShuffle: return MakeShuffle(program, instruction, kernels);
    case InstructionKind::kPointwiseConv: return MakePointwiseConv(program, instruction, kernels);
  }
  throw Error("an instruction is unknown");
}

}  // namespace

CompiledProgram::CompiledProgram(Program program, const Kernels& kernels) : program_(std::move(program)) {
  for (const auto& [index, value] : program_.values) {
    if (value.external()) external_values_.push_back(index);
  }
  MakeExecutables(kernels);
  MakeChains();
  AllocateMemory();
}

CompiledProgram::~CompiledProgram() = default;

void CompiledProgram::MakeExecutables(const Kernels& kernels) {
  maps_ = ChoosePackedMaps(program_, kernels);
  for (const Instruction& instruction : program_.instructions) {
    executables_.push_back(MakeExecutable(program_, instruction, kernels, maps_));
    is_empty_.push_back(ElementCount(program_.values.at(instruction.output).shape) == 0);
  }
}

// Instructions take turns where there are rings between them, and where one reads what another has just made: behind a
// pool or a binary convolution, those that read each row once.
void CompiledProgram::MakeChains() {
  const std::vector<Instruction>& instructions = program_.instructions;
  chain_of_.resize(executables_.size(), nullptr);
  for (size_t first = 0; first < executables_.size(); ++first) {
    size_t trunk = first;
    while (program_.values.at(instructions[trunk].output).planes.ring != 0) ++trunk;
    size_t last = trunk;
    if (executables_[trunk]->by_rows() != nullptr) {
      const std::vector<int> made = {instructions[trunk].output};
      while (last + 1 < executables_.size() && instructions[last + 1].inputs == made &&
             ReadsRowsOnce(instructions[last + 1]) && executables_[last + 1]->by_rows() != nullptr &&
             WritesElsewhere(program_, first, last + 1)) {
        ++last;
      }
    }
    if (last == first) continue;
    std::vector<const RowExecutable*> members;
    for (size_t i = first; i <= last; ++i) members.push_back(executables_[i]->by_rows());
    chains_.push_back(std::make_unique<RowChain>(program_, first, trunk - first, std::move(members)));
    for (size_t i = first; i <= last; ++i) chain_of_[i] = chains_.back().get();
    first = last;
  }
}

void CompiledProgram::AllocateMemory() {
  // The buffers of the layout first, then the scratch memory of each instruction.
  std::vector<BufferRequest> requests;
  const auto use = [&](int index, int at) {
    const Value& value = program_.values.at(index);
    if (value.external()) return;
    const size_t buffer = static_cast<size_t>(value.buffer);
    if (requests.size() <= buffer) requests.resize(buffer + 1, {0, -1, -1});
    if (value.is_ring()) return;  // in the chain's memory
    BufferRequest& request = requests[buffer];
    const auto map = maps_.find(index);
    int64_t bytes = map == maps_.end() ? 0 : map->second.bytes();
    if (map == maps_.end() && !value.shape.empty()) {
      const Shape lead(value.shape.begin(), value.shape.end() - 1);
      const int64_t elements = value.planes.used()
                                   ? CheckedProduct(value.shape[0] * value.shape[3], value.planes.plane_stride)
                                   : CheckedProduct(ElementCount(lead), value.pixel_stride);
      bytes = elements * ElementBytes(value.type);
    }
    request.bytes = std::max(request.bytes, bytes);
    const RowChain* chain = chain_of_[static_cast<size_t>(at)];
    const int first = chain == nullptr ? at : static_cast<int>(chain->first());
    request.first = request.first < 0 ? first : std::min(request.first, first);
    request.last = std::max(request.last, chain == nullptr ? at : static_cast<int>(chain->last()));
  };
  for (size_t i = 0; i < program_.instructions.size(); ++i) {
    const Instruction& instruction = program_.instructions[i];
    use(instruction.output, static_cast<int>(i));
    for (const SignOutput& sign : instruction.signs) use(sign.output, static_cast<int>(i));
    for (int input : instruction.inputs) use(input, static_cast<int>(i));
  }
  const size_t buffers = requests.size();
  for (size_t i = 0; i < executables_.size(); ++i) {
    const RowChain* chain = chain_of_[i];
    if (chain == nullptr) {
      requests.push_back({executables_[i]->scratch_bytes(), static_cast<int>(i), static_cast<int>(i)});
    } else {
      const int64_t bytes = chain->last() == i ? chain->memory_bytes() : 0;
      requests.push_back({bytes, static_cast<int>(chain->first()), static_cast<int>(chain->last())});
    }
  }
  const MemoryPlan plan = PlanMemory(requests);
  memory_ = AlignedBuffer<uint8_t>(static_cast<size_t>(plan.bytes));

  const int last_value = program_.values.empty() ? -1 : program_.values.rbegin()->first;
  values_.resize(static_cast<size_t>(last_value + 1), nullptr);
  for (const auto& [index, value] : program_.values) {
    if (value.external() || value.buffer < 0 || static_cast<size_t>(value.buffer) >= buffers) continue;
    if (value.is_ring()) continue;
    values_[static_cast<size_t>(index)] = memory_.data() + plan.offsets[static_cast<size_t>(value.buffer)] +
                                          value.channel_offset * ElementBytes(value.type);
  }
  for (size_t i = 0; i < executables_.size(); ++i) scratch_.push_back(memory_.data() + plan.offsets[buffers + i]);
}

void CompiledProgram::Run(ThreadPool& pool, int threads, const std::map<int, void*>& external) {
  for (const auto& [index, data] : external) values_[static_cast<size_t>(index)] = data;
  RunContext context(pool, threads, values_);
  for (size_t i = 0; i < executables_.size(); ++i) {
    if (is_empty_[i]) continue;
    context.SetScratch(scratch_[i]);
    if (chain_of_[i] != nullptr) {
      if (chain_of_[i]->last() == i) RunChain(*chain_of_[i], context);
      continue;
    }
    if (least_nanoseconds_.empty()) {
      executables_[i]->Run(context);
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    executables_[i]->Run(context);
    const auto took = std::chrono::steady_clock::now() - start;
    Note(i, std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
  }
}

void CompiledProgram::RunChain(RowChain& chain, const RunContext& context) {
  if (least_nanoseconds_.empty()) {
    chain.Run(context, values_, nullptr);
    return;
  }
  std::vector<int64_t> nanoseconds(chain.last() - chain.first() + 1);
  chain.Run(context, values_, &nanoseconds);
  for (size_t i = 0; i < nanoseconds.size(); ++i) Note(chain.first() + i, nanoseconds[i]);
}

void CompiledProgram::Note(size_t instruction, int64_t nanoseconds) {
  int64_t& least = least_nanoseconds_[instruction];
  least = least == 0 ? nanoseconds : std::min(least, nanoseconds);
}

std::string CompiledProgram::Dump() const {
  const auto describe = [&](int index) {
    const Value& value = program_.values.at(index);
    std::string text = "%" + std::to_string(index) + " " + Name(value.type) + " " + ToString(value.shape);
    if (value.external()) return text + " external";
    if (value.planes.ring != 0) {
      return text + " as planes of " + std::to_string(value.planes.row_stride) + " by a ring of " +
             std::to_string(value.planes.ring);
    }
    if (value.ring_rows != 0) return text + " as a ring of " + std::to_string(value.ring_rows) + " rows";
    text += " in #" + std::to_string(value.buffer);
    if (value.planes.used()) {
      return text + " as planes of " + std::to_string(value.planes.row_stride) + " by " +
             std::to_string(value.planes.border.top + value.planes.height + value.planes.border.bottom);
    }
    const int64_t channels = value.shape.empty() ? 1 : value.shape.back();
    if (channels == value.pixel_stride) return text;
    return text + "[" + std::to_string(value.channel_offset) + ":" + std::to_string(value.channel_offset + channels) +
           "]";
  };
  std::string text = "program: " + std::to_string(program_.instructions.size()) + " instructions, " +
                     std::to_string(memory_.size()) + " bytes\n";
  for (size_t i = 0; i < executables_.size(); ++i) {
    const Instruction& instruction = program_.instructions[i];
    std::string inputs;
    for (int input : instruction.inputs) inputs += (inputs.empty() ? "" : ", ") + describe(input);
    text += "  " + describe(instruction.output);
    for (const SignOutput& sign : instruction.signs) text += ", " + describe(sign.output);
    text += std::string(" = ") + Name(instruction.kind) + "(" + inputs + ") [" + executables_[i]->Describe() + "]";
    if (!least_nanoseconds_.empty()) {
      char time[32];
      std::snprintf(time, sizeof(time), " %.3f ms", static_cast<double>(least_nanoseconds_[i]) * 1e-6);
      text += time;
    }
    text += "\n";
  }
  return text;
}

}  // namespace larq_melius
