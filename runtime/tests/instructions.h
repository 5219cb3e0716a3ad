// Instructions for the tests of the compiler's steps.
#ifndef LARQ_MELIUS_TESTS_INSTRUCTIONS_H_
#define LARQ_MELIUS_TESTS_INSTRUCTIONS_H_

#include <utility>
#include <vector>

#include "program.h"

inline larq_melius::Instruction Make(larq_melius::InstructionKind kind, std::vector<int> inputs, int output) {
  larq_melius::Instruction instruction;
  instruction.kind = kind;
  instruction.inputs = std::move(inputs);
  instruction.output = output;
  return instruction;
}

#endif  // LARQ_MELIUS_TESTS_INSTRUCTIONS_H_
