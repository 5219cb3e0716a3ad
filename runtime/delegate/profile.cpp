#include "profile.h"

namespace larq_melius {

std::vector<std::string> OperatorNames(const Instruction& instruction) {
  std::vector<std::string> names;
  const auto append = [&](bool present, const char* name) {
    if (present) names.push_back(name);
  };
  const auto append_comparison = [&] {
    append(true, "MUL");
    append(true, "ADD");
  };
  const auto append_shuffle = [&] {
    append(true, "RESHAPE");
    append(true, "TRANSPOSE");
    append(true, "RESHAPE");
  };
  const Border& border = instruction.border;
  const bool has_border = border.top != 0 || border.bottom != 0 || border.left != 0 || border.right != 0;
  switch (instruction.kind) {
    case InstructionKind::kPack: append(true, "LceQuantize"); break;
    case InstructionKind::kUnpack: append(true, "LceDequantize"); break;
    case InstructionKind::kBinaryConv: append(true, "LceBconv2d"); break;
    case InstructionKind::kBinaryMaxPool: append(true, "LceBMaxPool2d"); break;
    case InstructionKind::kAffine: break;
    case InstructionKind::kAdd: append(true, "ADD"); break;
    case InstructionKind::kConcatenate: append(true, "CONCATENATION"); break;
    case InstructionKind::kPad: append(true, "PAD"); break;
    case InstructionKind::kMaxPool: append(true, "MAX_POOL_2D"); break;
    case InstructionKind::kConv:
    case InstructionKind::kPointwiseConv:
      if (!instruction.target.empty()) append_shuffle();
      append(true, "CONV_2D");
      break;
    case InstructionKind::kReshape: append(true, "RESHAPE"); break;
    case InstructionKind::kTranspose: append(true, "TRANSPOSE"); break;
    case InstructionKind::kShuffle: append_shuffle(); break;
  }
  if (instruction.comparison != nullptr) append_comparison();
  append(!instruction.multiplier.empty(), "MUL");
  append(!instruction.addend.empty(), "ADD");
  append(instruction.kind == InstructionKind::kBinaryConv && instruction.inputs.size() == 2, "ADD");
  append(instruction.kind != InstructionKind::kPad && has_border, "PAD");
  for (size_t i = 0; i < instruction.signs.size(); ++i) {
    append(true, "LceQuantize");
    append_comparison();
  }
  // A part of a map that is copied to where the whole is.
  if (names.empty()) names.push_back("CONCATENATION");
  return names;
}

}  // namespace larq_melius
