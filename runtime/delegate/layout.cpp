#include "layout.h"

#include <algorithm>
#include <set>

#include "row_chain.h"
#include "winograd_conv.h"

namespace larq_melius {
namespace {

// Where the runtime holds a value that takes part in a concatenation, an internal one takes its part.
class ExternalCopies {
 public:
  explicit ExternalCopies(Program& program) : program_(program) {
    next_ = program.values.empty() ? 0 : program.values.rbegin()->first + 1;
  }

  void Insert() {
    std::set<int> parts;
    for (const Instruction& instruction : program_.instructions) {
      if (instruction.kind != InstructionKind::kConcatenate) continue;
      parts.insert(instruction.inputs.begin(), instruction.inputs.end());
      parts.insert(instruction.output);
    }
    for (int value : parts) {
      if (program_.values.at(value).external_input) CopyIn(value);
      if (program_.values.at(value).external_output) CopyOut(value);
    }
  }

 private:
  static Instruction Copy(int from, int to) {
    Instruction copy;
    copy.kind = InstructionKind::kAffine;
    copy.inputs = {from};
    copy.output = to;
    return copy;
  }

  int AddInternal(int like) {
    Value value = program_.values.at(like);
    value.external_input = value.external_output = false;
    program_.values[next_] = value;
    return next_++;
  }

  void ReplaceReads(int from, int to) {
    for (Instruction& instruction : program_.instructions) {
      std::replace(instruction.inputs.begin(), instruction.inputs.end(), from, to);
    }
  }

  void CopyIn(int value) {
    const int internal = AddInternal(value);
    ReplaceReads(value, internal);
    program_.instructions.insert(program_.instructions.begin(), Copy(value, internal));
  }

  // Right after it is made: its place may be overwritten later.
  void CopyOut(int value) {
    const int internal = AddInternal(value);
    ReplaceReads(value, internal);
    for (size_t i = 0; i < program_.instructions.size(); ++i) {
      if (program_.instructions[i].output != value) continue;
      program_.instructions[i].output = internal;
      program_.instructions.insert(program_.instructions.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                   Copy(internal, value));
      return;
    }
  }

  Program& program_;
  int next_;
};

struct Place {
  int buffer;
  int64_t offset;
};

// Places the parts of concatenations, from the last to the first: the last one of a stage is the widest.
class Sharing {
 public:
  explicit Sharing(Program& program) : program_(program) {
    for (size_t i = 0; i < program.instructions.size(); ++i) {
      const Instruction& instruction = program.instructions[i];
      made_at_[instruction.output] = static_cast<int>(i);
      for (const SignOutput& sign : instruction.signs) made_at_[sign.output] = static_cast<int>(i);
      if (instruction.kind == InstructionKind::kConcatenate) {
        for (int input : instruction.inputs) {
          const std::vector<int> parts = PartsOf(input);
          parts_[instruction.output].insert(parts_[instruction.output].end(), parts.begin(), parts.end());
        }
      }
    }
    for (size_t i = 0; i < program.instructions.size(); ++i) {
      for (int input : program.instructions[i].inputs) {
        for (int part : PartsOf(input)) last_read_[part] = static_cast<int>(i);
      }
    }
  }

  // Concatenations that are no work once the places are used.
  std::set<int> Place() {
    std::set<int> free;
    for (size_t i = program_.instructions.size(); i-- > 0;) {
      const Instruction& instruction = program_.instructions[i];
      if (instruction.kind == InstructionKind::kConcatenate && PlaceConcatenation(instruction.output)) {
        free.insert(instruction.output);
      }
    }
    for (int output : free) {
      const struct Place first = places_.at(parts_.at(output)[0]);
      places_[output] = first;
    }
    for (const Instruction& instruction : program_.instructions) PlaceOverInput(instruction);
    return free;
  }

  const std::map<int, struct Place>& places() const { return places_; }
  int buffers() const { return static_cast<int>(occupants_.size()); }
  int64_t width(int buffer) const { return widths_[static_cast<size_t>(buffer)]; }

 private:
  std::vector<int> PartsOf(int value) const {
    const auto found = parts_.find(value);
    return found == parts_.end() ? std::vector<int>{value} : found->second;
  }

  int64_t Channels(int value) const { return program_.values.at(value).shape.back(); }

  bool PlaceConcatenation(int output) {
    const std::vector<int>& parts = parts_.at(output);
    // The buffer that a part is in already, or a new one.
    struct Place base = {buffers(), 0};
    int64_t offset = 0;
    for (int part : parts) {
      const auto found = places_.find(part);
      if (found != places_.end()) {
        base = {found->second.buffer, found->second.offset - offset};
        break;
      }
      offset += Channels(part);
    }
    if (base.offset < 0) return false;
    offset = base.offset;
    std::vector<std::pair<int, int64_t>> unplaced;
    for (int part : parts) {
      const auto found = places_.find(part);
      if (found != places_.end()) {
        if (found->second.buffer != base.buffer || found->second.offset != offset) return false;
      } else {
        if (!SamePixels(part, output) || !IsFree(base.buffer, offset, part)) return false;
        for (const auto& [other, other_offset] : unplaced) {
          if (other == part) return false;
        }
        unplaced.emplace_back(part, offset);
      }
      offset += Channels(part);
    }
    if (base.buffer == buffers()) {
      occupants_.emplace_back();
      widths_.push_back(0);
    }
    for (const auto& [part, at] : unplaced) {
      places_[part] = {base.buffer, at};
      occupants_[static_cast<size_t>(base.buffer)].push_back(part);
    }
    int64_t& width = widths_[static_cast<size_t>(base.buffer)];
    width = std::max(width, offset);
    return true;
  }

  // What is computed element by element needs no memory of its own if nothing else reads the input any more.
  void PlaceOverInput(const Instruction& instruction) {
    const int output = instruction.output;
    if (program_.values.at(output).external() || places_.count(output) != 0) return;
    for (int input : instruction.inputs) {
      const Value& value = program_.values.at(input);
      if (value.external() || value.shape != program_.values.at(output).shape || !Overwrites(output, input)) continue;
      if (places_.count(input) == 0) {
        places_[input] = {buffers(), 0};
        occupants_.push_back({input});
        widths_.push_back(Channels(input));
      }
      const struct Place place = places_.at(input);
      if (!IsFree(place.buffer, place.offset, output)) continue;
      places_[output] = place;
      occupants_[static_cast<size_t>(place.buffer)].push_back(output);
      return;
    }
  }

  bool SamePixels(int a, int b) const {
    const Shape& first = program_.values.at(a).shape;
    const Shape& second = program_.values.at(b).shape;
    return std::equal(first.begin(), first.end() - 1, second.begin());
  }

  // Whether nothing else uses these channels while `value` is alive.
  bool IsFree(int buffer, int64_t offset, int value) const {
    if (buffer == buffers()) return true;
    for (int other : occupants_[static_cast<size_t>(buffer)]) {
      const int64_t other_offset = places_.at(other).offset;
      if (offset + Channels(value) <= other_offset || other_offset + Channels(other) <= offset) continue;
      if (LastUse(value) < made_at_.at(other) || LastUse(other) < made_at_.at(value)) continue;
      const bool same_place = offset == other_offset && Channels(value) == Channels(other);
      if (same_place && (Overwrites(other, value) || Overwrites(value, other))) continue;
      return false;
    }
    return true;
  }

  int LastUse(int value) const {
    const auto found = last_read_.find(value);
    return found == last_read_.end() ? made_at_.at(value) : found->second;
  }

  // Whether `value` may be written over `old`, which is read for the last time as it is computed, element by element.
  bool Overwrites(int value, int old) const {
    const int at = made_at_.at(value);
    if (LastUse(old) != at) return false;
    const Instruction& instruction = program_.instructions[static_cast<size_t>(at)];
    switch (instruction.kind) {
      case InstructionKind::kAffine:
      case InstructionKind::kAdd:
        return std::find(instruction.inputs.begin(), instruction.inputs.end(), old) != instruction.inputs.end();
      case InstructionKind::kBinaryConv: return instruction.inputs.size() == 2 && instruction.inputs[1] == old;
      default: return false;
    }
  }

  Program& program_;
  std::map<int, std::vector<int>> parts_;  // of concatenations, none of them a concatenation
  std::map<int, int> made_at_;
  std::map<int, int> last_read_;  // directly or within a concatenation
  std::map<int, struct Place> places_;
  std::vector<std::vector<int>> occupants_;  // of each buffer
  std::vector<int64_t> widths_;
};

// Whether this instruction can read `value` as planes; if so, `border` grows to what it needs around it.
bool ReadsPlanes(const Instruction& reader, const Value& value, Border* border) {
  if (reader.kind == InstructionKind::kMaxPool) return value.shape[2] <= kMaxPooledWidth;
  if (reader.kind != InstructionKind::kConv || reader.options.stride_width != 1) return false;
  const Border needed = BorderOf(value.shape, reader);
  border->top = std::max(border->top, needed.top);
  border->bottom = std::max(border->bottom, needed.bottom);
  border->left = std::max(border->left, needed.left);
  border->right = std::max(border->right, needed.right);
  return true;
}

void ChoosePlanes(Program& program) {
  std::map<int, int> values_in;  // each buffer
  for (const auto& [index, value] : program.values) ++values_in[value.buffer];
  for (const Instruction& writer : program.instructions) {
    Value& value = program.values.at(writer.output);
    if (writer.kind != InstructionKind::kConv || value.external() || values_in[value.buffer] != 1) continue;
    Border border;
    bool read = false;
    bool fits = true;
    for (const Instruction& reader : program.instructions) {
      if (std::find(reader.inputs.begin(), reader.inputs.end(), writer.output) == reader.inputs.end()) continue;
      read = true;
      fits = fits && ReadsPlanes(reader, value, &border);
    }
    if (read && fits) value.planes = MakePlanes(value.shape[1], value.shape[2], border);
  }
}

// What a pool at the end of rings makes, if all that read it follow it and take their turns, needs a ring only, too.
// `first` makes the first ring.
void ChoosePixelRing(Program& program, size_t first, size_t pool) {
  const int output = program.instructions[pool].output;
  Value& value = program.values.at(output);
  const auto shares_buffer = [&](const auto& other) {
    return other.first != output && other.second.buffer == value.buffer;
  };
  if (value.external() || std::any_of(program.values.begin(), program.values.end(), shares_buffer)) return;
  bool follows = true;
  for (size_t i = pool + 1; i < program.instructions.size(); ++i) {
    const Instruction& reader = program.instructions[i];
    const bool reads = std::find(reader.inputs.begin(), reader.inputs.end(), output) != reader.inputs.end();
    if (!reads) {
      follows = false;
    } else if (!follows || reader.inputs.size() != 1 || !ReadsRowsOnce(reader) || !WritesElsewhere(program, first, i)) {
      return;
    }
  }
  value.ring_rows = kPoolRowStep;
}

// Where an instruction reads planes that the one before it has just made, and nobody else does, both take turns: a ring
// of rows is enough.
void ChooseRings(Program& program) {
  size_t first = 0;
  for (size_t i = 0; i + 1 < program.instructions.size(); ++i) {
    const int output = program.instructions[i].output;
    const Instruction& reader = program.instructions[i + 1];
    Planes& planes = program.values.at(output).planes;
    const std::vector<int>& inputs = program.instructions[i].inputs;
    if (inputs.empty() || program.values.at(inputs[0]).planes.ring == 0) first = i;
    if (!planes.used() || reader.inputs[0] != output || planes.height == 0) continue;
    int reads = 0;
    for (const Instruction& other : program.instructions) {
      reads += static_cast<int>(std::count(other.inputs.begin(), other.inputs.end(), output));
    }
    if (reads != 1 || !WritesElsewhere(program, first, i + 1)) continue;
    int64_t window = 0;
    if (reader.kind == InstructionKind::kMaxPool) {
      window = (kPoolRowStep - 1) * reader.options.stride_height + reader.options.filter_height;
    } else if (reader.kind == InstructionKind::kConv && FitsWinograd(reader)) {
      window = kRowStep - 1 + reader.float_conv->filter_height;
    } else {
      continue;
    }
    // What the reader takes at a time, and what is made with its last row.
    const int64_t rows = DivideRoundingUp(window + kRowStep - 1, kRowStep) * kRowStep;
    if (rows >= planes.height) continue;
    planes = MakeRing(planes, rows);
    if (reader.kind == InstructionKind::kMaxPool) ChoosePixelRing(program, first, i + 1);
  }
}

}  // namespace

void AssignLayout(Program& program, bool share) {
  int buffers = 0;
  if (share) {
    ExternalCopies(program).Insert();
    Sharing sharing(program);
    const std::set<int> free = sharing.Place();
    for (const auto& [index, place] : sharing.places()) {
      Value& value = program.values.at(index);
      value.buffer = place.buffer;
      value.channel_offset = place.offset;
      value.pixel_stride = sharing.width(place.buffer);
    }
    buffers = sharing.buffers();
    program.instructions.erase(
        std::remove_if(program.instructions.begin(), program.instructions.end(),
                       [&](const Instruction& instruction) { return free.count(instruction.output) != 0; }),
        program.instructions.end());
  }
  for (auto& [index, value] : program.values) {
    if (value.buffer >= 0) continue;
    value.pixel_stride = value.shape.empty() ? 1 : value.shape.back();
    if (!value.external()) value.buffer = buffers++;
  }
  ChoosePlanes(program);
  ChooseRings(program);
}

}  // namespace larq_melius
