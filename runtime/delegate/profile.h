// What the delegate's instructions are and how long they took, for programs that are linked with it.
#ifndef LARQ_MELIUS_DELEGATE_PROFILE_H_
#define LARQ_MELIUS_DELEGATE_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "program.h"

namespace larq_melius {

struct InstructionTime {
  // Its operators as the file names them, such as {"LceQuantize", "MUL", "ADD"}: the one that gave it its form, and
  // those that were fused into it. An operator that is done in parts is in each of them.
  std::vector<std::string> operators;
  // Whether one of them is LCE's.
  bool binary = false;
  // The least of all runs.
  int64_t nanoseconds = 0;
};

std::vector<std::string> OperatorNames(const Instruction& instruction);

// Of the kernel of a delegate that was made with the option "profile", by its TfLiteNode::user_data. They are then not
// printed when the runtime releases it.
std::vector<InstructionTime> TakeInstructionTimes(void* partition);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PROFILE_H_
