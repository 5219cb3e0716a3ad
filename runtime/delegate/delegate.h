// The delegate for bindings that are built into the library, such as Java's: what they ask beyond the entry points.
#ifndef LARQ_MELIUS_DELEGATE_DELEGATE_H_
#define LARQ_MELIUS_DELEGATE_DELEGATE_H_

#include <string>
#include <vector>

#include "tflite_abi.h"

namespace larq_melius {

// Makes a delegate of options by their names. Throws std::exception, its message one line, if the options or the
// environment ask for what is not there.
TfLiteDelegate* CreateDelegate(const std::vector<std::string>& keys, const std::vector<std::string>& values);

void DestroyDelegate(TfLiteDelegate* delegate);

// The plans of all open interpreters that use the delegate, one instruction a line; with the option "profile" each with
// the least time that it took so far. No such interpreter may run or be changed meanwhile.
std::string PlanText(TfLiteDelegate* delegate);

// How many of Larq Compute Engine's operators the delegate runs, in all open interpreters that use it together.
int ClaimedOperators(TfLiteDelegate* delegate);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_DELEGATE_H_
