#include <set>

#include "check.h"
#include "layout.h"

using namespace larq_melius;

namespace {

class Builder {
 public:
  int Map(int64_t channels) {
    Value value;
    value.type = Type::kFloat32;
    value.shape = {1, 4, 4, channels};
    const int index = next_++;
    program.values[index] = value;
    return index;
  }

  int Add(InstructionKind kind, const std::vector<int>& inputs, int64_t channels) {
    Instruction instruction;
    instruction.kind = kind;
    instruction.inputs = inputs;
    instruction.output = Map(channels);
    program.instructions.push_back(instruction);
    return instruction.output;
  }

  int64_t Channels(int value) const { return program.values.at(value).shape[3]; }

  int Concatenate(const std::vector<int>& inputs) {
    int64_t channels = 0;
    for (int input : inputs) channels += Channels(input);
    return Add(InstructionKind::kConcatenate, inputs, channels);
  }

  const Value& value(int index) const { return program.values.at(index); }

  Program program;

 private:
  int next_ = 0;
};

size_t Count(const Program& program, InstructionKind kind) {
  size_t count = 0;
  for (const Instruction& instruction : program.instructions) count += instruction.kind == kind ? 1 : 0;
  return count;
}

// Dense and Improvement Blocks in turns grow in one buffer without a copy but the first.
void TestStageOfMeliusNetIsOneBuffer() {
  Builder b;
  const int input = b.Map(64);
  b.program.values[input].external_input = true;
  int map = input;
  std::vector<int> sums;
  for (int block = 0; block < 3; ++block) {
    const int y = b.Add(InstructionKind::kBinaryConv, {map}, 64);
    const int dense = b.Concatenate({map, y});
    const int sum = b.Add(InstructionKind::kBinaryConv, {dense, y}, 64);
    sums.push_back(sum);
    map = b.Concatenate({map, sum});
  }
  const int end = b.Add(InstructionKind::kMaxPool, {map}, 256);
  b.program.values[end].external_output = true;
  AssignLayout(b.program, true);
  CHECK(Count(b.program, InstructionKind::kConcatenate) == 0);
  CHECK(Count(b.program, InstructionKind::kAffine) == 1);
  for (size_t i = 0; i < sums.size(); ++i) {
    CHECK(b.value(sums[i]).buffer == b.value(map).buffer);
    CHECK(b.value(sums[i]).channel_offset == 64 * static_cast<int64_t>(i + 1));
    CHECK(b.value(sums[i]).pixel_stride == 256);
  }
}

// A convolution that is added to a map, the map's last reader, overwrites it.
void TestSumsAreInPlace() {
  for (const bool read_again : {false, true}) {
    Builder b;
    const int input = b.Map(64);
    b.program.values[input].external_input = true;
    const int map = b.Add(InstructionKind::kBinaryConv, {input}, 64);
    const int signs = b.Add(InstructionKind::kPack, {map}, 64);
    const int sum = b.Add(InstructionKind::kBinaryConv, {signs, map}, 64);
    const int end = b.Add(InstructionKind::kAdd, {sum, read_again ? map : sum}, 64);
    b.program.values[end].external_output = true;
    AssignLayout(b.program, true);
    CHECK((b.value(sum).buffer == b.value(map).buffer) == !read_again);
    CHECK(b.value(sum).buffer != b.value(signs).buffer && b.value(sum).pixel_stride == 64);
  }
}

void TestWithoutSharingNothingChanges() {
  Builder b;
  const int x = b.Map(8);
  b.program.values[x].external_input = true;
  const int y = b.Concatenate({x, b.Add(InstructionKind::kAffine, {x}, 8)});
  b.program.values[y].external_output = true;
  AssignLayout(b.program, false);
  CHECK(Count(b.program, InstructionKind::kConcatenate) == 1);
}

// A stem: two convolutions and a max pool.
Builder Stem() {
  Builder b;
  const int x = b.Map(3);
  b.program.values[x].external_input = true;
  auto filter = std::make_shared<ConvConstants>();
  filter->filter_height = filter->filter_width = 3;
  int map = x;
  for (int i = 0; i < 2; ++i) {
    map = b.Add(InstructionKind::kConv, {map}, 8);
    b.program.instructions.back().float_conv = filter;
    b.program.instructions.back().window = {4, 4, 1, 1};
  }
  b.program.values[b.Add(InstructionKind::kMaxPool, {map}, 8)].external_output = true;
  return b;
}

void TestMapsOfAStemArePlanes() {
  for (const bool share : {true, false}) {
    Builder b = Stem();
    AssignLayout(b.program, share);
    const Planes& between = b.value(1).planes;
    CHECK(between.used() && between.border.top == 1 && between.border.left == 1 && between.border.right == 1);
    // Rows, the border's included, do not meet, and whole vectors that begin at an element do not leave them.
    CHECK(between.margin >= 1 && between.row_stride >= between.margin + kMaxLanes);
    CHECK(between.plane_stride >= 6 * between.row_stride + 1);
    CHECK(b.value(2).planes.used() && b.value(2).planes.border.top == 0 && b.value(2).planes.margin == 0);
    CHECK(!b.value(0).planes.used() && !b.value(3).planes.used());
  }
}

void TestWhatOthersReadIsNotPlanes() {
  Builder strided = Stem();
  strided.program.instructions[1].options.stride_width = 2;
  AssignLayout(strided.program, true);
  CHECK(!strided.value(1).planes.used() && strided.value(2).planes.used());

  Builder given_out = Stem();
  given_out.program.values[2].external_output = true;
  AssignLayout(given_out.program, true);
  CHECK(given_out.value(1).planes.used() && !given_out.value(2).planes.used());

  Builder added = Stem();
  added.Add(InstructionKind::kAdd, {1, 2}, 8);
  AssignLayout(added.program, true);
  CHECK(!added.value(1).planes.used() && !added.value(2).planes.used());

  Builder concatenated = Stem();
  concatenated.Concatenate({2, 1});
  AssignLayout(concatenated.program, true);
  CHECK(concatenated.value(1).buffer == concatenated.value(2).buffer);
  CHECK(!concatenated.value(1).planes.used() && !concatenated.value(2).planes.used());

  Builder wide = Stem();
  for (auto& [index, value] : wide.program.values) value.shape[2] = kMaxPooledWidth + 1;
  AssignLayout(wide.program, true);
  CHECK(wide.value(1).planes.used() && !wide.value(2).planes.used());
}

// A taller stem, and behind it what reads its rows once.
Builder TallStem() {
  Builder b = Stem();
  for (Instruction& instruction : b.program.instructions) {
    if (instruction.kind == InstructionKind::kConv) instruction.window = {40, 4, 1, 1};
  }
  Instruction& pool = b.program.instructions[2];
  pool.options.filter_height = 3;
  pool.options.stride_height = 2;
  pool.window = {20, 4, 0, 0};
  b.program.values[3].external_output = false;
  for (auto& [index, value] : b.program.values) value.shape[1] = index == 3 ? 20 : 40;
  b.program.values[b.Add(InstructionKind::kMaxPool, {3}, 8)].external_output = true;
  b.program.instructions.back().options.filter_height = 2;
  b.program.instructions.back().options.stride_height = 2;
  b.program.values[b.Add(InstructionKind::kPack, {3}, 1)].external_output = true;
  return b;
}

void TestRowsOfAStemAreRings() {
  for (const bool share : {true, false}) {
    Builder b = TallStem();
    AssignLayout(b.program, share);
    // Six rows for four of the next convolution, of which two are made again with the next four.
    CHECK(b.value(1).planes.ring == 12 && b.value(1).planes.plane_stride >= 13 * b.value(1).planes.row_stride);
    CHECK(b.value(2).planes.ring == 8 && b.value(3).ring_rows == 2);
    CHECK(!b.value(0).is_ring() && !b.value(4).is_ring() && !b.value(5).is_ring());
  }
  Builder low = Stem();
  AssignLayout(low.program, true);
  CHECK(!low.value(1).is_ring() && !low.value(2).is_ring());
}

void TestWhatIsReadLaterIsNoRing() {
  // A convolution that is not Winograd's reads whole windows at once.
  Builder dilated = TallStem();
  dilated.program.instructions[1].options.dilation_height = 2;
  AssignLayout(dilated.program, true);
  CHECK(!dilated.value(1).is_ring() && dilated.value(2).is_ring());

  Builder given_out = TallStem();
  given_out.program.values[3].external_output = true;
  AssignLayout(given_out.program, true);
  CHECK(given_out.value(2).is_ring() && !given_out.value(3).is_ring());

  Builder overlapping = TallStem();
  overlapping.program.instructions[3].options.filter_height = 3;
  AssignLayout(overlapping.program, true);
  CHECK(overlapping.value(2).is_ring() && !overlapping.value(3).is_ring());

  Builder read_later = TallStem();
  read_later.Add(InstructionKind::kPack, {4}, 1);
  read_later.Add(InstructionKind::kPack, {3}, 1);
  AssignLayout(read_later.program, true);
  CHECK(read_later.value(2).is_ring() && !read_later.value(3).is_ring());
}

// The contents of memory while a program runs: each channel of each buffer holds the name of the value last written.
//
// Random graphs of concatenations and additions: whatever reads a value must find its parts.
void TestRandomGraphsReadWhatWasWritten() {
  Random random(12);
  size_t shared = 0;
  for (int round = 0; round < 3000; ++round) {
    Builder b;
    std::vector<int> maps = {b.Map(4)};
    b.program.values[maps[0]].external_input = true;
    const auto pick = [&] {
      return maps[static_cast<size_t>(random.Integer(0, static_cast<int64_t>(maps.size()) - 1))];
    };
    for (int i = 0; i < 12; ++i) {
      const int x = random.Integer(0, 2) == 0 ? pick() : maps.back();
      switch (random.Integer(0, 3)) {
        case 0: maps.push_back(b.Add(InstructionKind::kBinaryConv, {x}, random.Integer(1, 4))); break;
        case 1: maps.push_back(b.Add(InstructionKind::kBinaryConv, {pick(), x}, b.Channels(x))); break;
        case 2: maps.push_back(b.Add(InstructionKind::kAffine, {x}, b.Channels(x))); break;
        default:
          if (b.Channels(x) < 40) maps.push_back(b.Concatenate({x, pick()}));
          break;
      }
    }
    for (int i = 0; i < 2; ++i) {
      const int output = pick();
      if (output != maps[0]) b.program.values[output].external_output = true;
    }

    // What every channel of every value should hold: the channel of the instruction that computed it. A copy (an affine
    // map without constants, as only the layout makes them here) holds what it copies.
    std::map<int, std::vector<std::pair<int, int64_t>>> expected;
    const auto fill = [&](int value) {
      for (int64_t c = 0; c < b.Channels(value); ++c) expected[value].emplace_back(value, c);
    };
    fill(maps[0]);
    for (Instruction& instruction : b.program.instructions) {
      instruction.multiplier = {1.0f};
      if (instruction.kind != InstructionKind::kConcatenate) {
        fill(instruction.output);
        continue;
      }
      for (int input : instruction.inputs) {
        expected[instruction.output].insert(expected[instruction.output].end(), expected[input].begin(),
                                            expected[input].end());
      }
    }
    const size_t before = Count(b.program, InstructionKind::kConcatenate);
    AssignLayout(b.program, true);
    shared += before - Count(b.program, InstructionKind::kConcatenate);

    // What is copied to the runtime is computed under another name.
    for (const Instruction& copy : b.program.instructions) {
      if (copy.kind != InstructionKind::kAffine || !copy.multiplier.empty()) continue;
      if (expected.count(copy.output) != 0) expected.emplace(copy.inputs[0], expected[copy.output]);
    }

    using Cell = std::pair<int64_t, int64_t>;  // buffer, or -1 - value for what the runtime holds, and channel
    std::map<Cell, std::pair<int, int64_t>> memory;
    const auto cell = [&](int value, int64_t c) {
      const Value& v = b.value(value);
      return v.external() ? Cell{-1 - value, c} : Cell{v.buffer, v.channel_offset + c};
    };
    for (int64_t c = 0; c < b.Channels(maps[0]); ++c)
      memory[cell(maps[0], c)] = expected[maps[0]][static_cast<size_t>(c)];
    for (const Instruction& instruction : b.program.instructions) {
      std::vector<std::pair<int, int64_t>> read;
      for (int input : instruction.inputs) {
        for (int64_t c = 0; c < b.Channels(input); ++c) {
          CHECK(b.value(input).external() || b.value(input).channel_offset + c < b.value(input).pixel_stride);
          read.push_back(memory[cell(input, c)]);
          if (expected.count(input) != 0) CHECK(read.back() == expected[input][static_cast<size_t>(c)]);
        }
      }
      const bool copies = instruction.kind == InstructionKind::kConcatenate || instruction.multiplier.empty();
      for (int64_t c = 0; c < b.Channels(instruction.output); ++c) {
        memory[cell(instruction.output, c)] =
            copies ? read[static_cast<size_t>(c)] : expected[instruction.output][static_cast<size_t>(c)];
        if (copies && expected.count(instruction.output) == 0) expected[instruction.output] = read;
      }
    }
    for (const auto& [index, value] : b.program.values) {
      if (!value.external_output) continue;
      for (int64_t c = 0; c < b.Channels(index); ++c) {
        CHECK(memory[cell(index, c)] == expected[index][static_cast<size_t>(c)]);
      }
    }
  }
  CHECK(shared > 3000);
}

}  // namespace

int main() {
  TestStageOfMeliusNetIsOneBuffer();
  TestSumsAreInPlace();
  TestWithoutSharingNothingChanges();
  TestMapsOfAStemArePlanes();
  TestWhatOthersReadIsNotPlanes();
  TestRowsOfAStemAreRings();
  TestWhatIsReadLaterIsNoRing();
  TestRandomGraphsReadWhatWasWritten();
  return 0;
}
