// Chooses the operators that the delegate takes from the runtime.
#ifndef LARQ_MELIUS_DELEGATE_RECOGNIZE_H_
#define LARQ_MELIUS_DELEGATE_RECOGNIZE_H_

#include <vector>

#include "tflite_abi.h"

namespace larq_melius {

// LCE's operators, all of them: nobody else can run them, and what is wrong with one is reported as it is prepared.
//
// With `glue` also the operators on float maps that the delegate runs and that are connected with one of LCE's, in one
// or several steps. All others stay with the runtime.
std::vector<int> RecognizeNodes(TfLiteContext* context, const std::vector<int>& node_indices, bool glue);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_RECOGNIZE_H_
