#include "row_chain.h"

#include <algorithm>
#include <chrono>

namespace larq_melius {
namespace {

// Rows of the trunk, at least, that are worth a thread: what lies above and below them is made twice.
constexpr int64_t kLeastShare = 8;

int64_t RoundUpToAlignment(int64_t bytes) {
  const int64_t alignment = kAlignment;
  return DivideRoundingUp(bytes, alignment) * alignment;
}

}  // namespace

bool ReadsRowsOnce(const Instruction& reader) {
  if (reader.kind == InstructionKind::kPack) return true;
  const Options& options = reader.options;
  return reader.kind == InstructionKind::kMaxPool && options.filter_height <= options.stride_height &&
         kPoolRowStep % options.stride_height == 0 && reader.window.pad_top == 0 && reader.border.top == 0 &&
         reader.border.bottom == 0;
}

bool WritesElsewhere(const Program& program, size_t first, size_t instruction) {
  const Instruction& writer = program.instructions[instruction];
  std::vector<int> outputs = {writer.output};
  for (const SignOutput& sign : writer.signs) outputs.push_back(sign.output);
  for (size_t i = first; i < instruction; ++i) {
    for (int input : program.instructions[i].inputs) {
      const Value& read = program.values.at(input);
      const auto is_there = [&](int output) { return program.values.at(output).buffer == read.buffer; };
      if (!read.external() && std::any_of(outputs.begin(), outputs.end(), is_there)) return false;
    }
  }
  return true;
}

struct RowChain::Share {
  int64_t image = 0;
  RowRange rows = {0, 0};
  uint8_t* memory = nullptr;
  // Of each member, the rows that it has made, from where it began.
  std::vector<int64_t> made;
  std::vector<int64_t> nanoseconds;
};

RowChain::RowChain(const Program& program, size_t first, size_t trunk, std::vector<const RowExecutable*> members)
    : first_(first), trunk_(trunk), members_(std::move(members)) {
  for (size_t i = 0; i < members_.size(); ++i) {
    scratch_offsets_.push_back(memory_bytes_);
    memory_bytes_ += RoundUpToAlignment(members_[i]->scratch_bytes());
    const int output = program.instructions[first + i].output;
    const Value& value = program.values.at(output);
    if (!value.is_ring()) continue;
    const int64_t channels = value.planes.ring != 0 ? value.shape[3] : 0;
    rings_.push_back({output, memory_bytes_, channels, value.planes});
    const int64_t floats = value.planes.ring != 0
                               ? CheckedProduct(channels, value.planes.plane_stride)
                               : CheckedProduct(value.ring_rows * value.shape[2], value.pixel_stride);
    memory_bytes_ += RoundUpToAlignment(CheckedProduct(floats, sizeof(float)) + static_cast<int64_t>(kReadSlack));
  }
}

void RowChain::Run(const RunContext& context, const std::vector<void*>& values, std::vector<int64_t>* nanoseconds) {
  const RowExecutable& trunk = *members_[trunk_];
  const int64_t count = std::max<int64_t>(1, std::min<int64_t>(context.threads(), trunk.rows() / kLeastShare));
  const int64_t steps = DivideRoundingUp(trunk.rows(), trunk.row_step());
  while (static_cast<int64_t>(memory_.size()) < count - 1) memory_.emplace_back(static_cast<size_t>(memory_bytes_));
  for (int64_t image = 0; image < trunk.images(); ++image) {
    std::vector<Share> shares(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      Share& share = shares[static_cast<size_t>(i)];
      share.image = image;
      share.rows = {steps * i / count * trunk.row_step(),
                    std::min(steps * (i + 1) / count * trunk.row_step(), trunk.rows())};
      share.memory = i == 0 ? context.scratch<uint8_t>() : memory_[static_cast<size_t>(i) - 1].data();
      share.made.resize(members_.size());
      if (nanoseconds != nullptr) share.nanoseconds.resize(members_.size());
    }
    context.Parallel(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) RunShare(context, values, shares[static_cast<size_t>(i)]);
    });
    if (nanoseconds == nullptr) continue;
    for (const Share& share : shares) {
      for (size_t i = 0; i < members_.size(); ++i) (*nanoseconds)[i] += share.nanoseconds[i] / count;
    }
  }
}

void RowChain::RunShare(const RunContext& context, const std::vector<void*>& values, Share& share) const {
  std::vector<void*> own_values = values;
  for (const Ring& ring : rings_) {
    float* data = reinterpret_cast<float*>(share.memory + ring.offset);
    for (int64_t c = 0; c < ring.channels; ++c) ClearBorder(ring.planes, data + c * ring.planes.plane_stride);
    own_values[static_cast<size_t>(ring.value)] = data;
  }
  const RunContext own = context.ForOneThread(own_values);
  int64_t begin = share.rows.begin;
  for (size_t i = trunk_ + 1; i-- > 0;) {
    share.made[i] = begin - begin % members_[i]->row_step();
    begin = std::max<int64_t>(0, members_[i]->InputRows({share.made[i], share.made[i] + 1}).begin);
  }
  for (size_t i = trunk_ + 1; i < members_.size(); ++i) {
    int64_t& made = share.made[i];
    while (made < members_[i]->rows() && members_[i]->InputRows({made, made + 1}).begin < share.rows.begin) ++made;
  }
  while (share.made[trunk_] < share.rows.end) {
    MakeUntil(own, share, trunk_, std::min(share.made[trunk_] + members_[trunk_]->row_step(), share.rows.end));
    for (size_t i = trunk_ + 1; i < members_.size(); ++i) Follow(own, share, i);
  }
}

void RowChain::MakeUntil(const RunContext& context, Share& share, size_t member, int64_t rows) const {
  const RowExecutable& executable = *members_[member];
  while (share.made[member] < rows) {
    // Others make whole steps, but the trunk's last rows may be those of another share.
    const int64_t next =
        std::min(share.made[member] + executable.row_step(), member == trunk_ ? rows : executable.rows());
    if (member > 0) {
      const int64_t needed = executable.InputRows({share.made[member], next}).end;
      MakeUntil(context, share, member - 1, std::min(needed, members_[member - 1]->rows()));
    }
    RunRows(context, share, member, next);
  }
}

void RowChain::Follow(const RunContext& context, Share& share, size_t member) const {
  const RowExecutable& executable = *members_[member];
  const int64_t there = share.made[trunk_];
  int64_t next = share.made[member];
  while (next < executable.rows()) {
    const RowRange needed = executable.InputRows({next, next + 1});
    if (needed.begin >= share.rows.end || std::min(needed.end, members_[trunk_]->rows()) > there) break;
    ++next;
  }
  if (next > share.made[member]) RunRows(context, share, member, next);
}

// From those that are made up to this one.
void RowChain::RunRows(const RunContext& context, Share& share, size_t member, int64_t end) const {
  RunContext own = context;
  own.SetScratch(share.memory + scratch_offsets_[member]);
  const RowRange rows = {share.made[member], end};
  if (share.nanoseconds.empty()) {
    members_[member]->RunRows(own, share.image, rows);
  } else {
    const auto start = std::chrono::steady_clock::now();
    members_[member]->RunRows(own, share.image, rows);
    const auto took = std::chrono::steady_clock::now() - start;
    share.nanoseconds[member] += std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
  }
  share.made[member] = end;
}

}  // namespace larq_melius
