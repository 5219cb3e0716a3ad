// The operators that the delegate leaves, for 32-bit floats.
#ifndef LARQ_MELIUS_PROGRAM_OPERATORS_H_
#define LARQ_MELIUS_PROGRAM_OPERATORS_H_

#include <deque>
#include <memory>
#include <vector>

#include "host.h"
#include "kernels.h"
#include "model.h"
#include "thread_pool.h"

namespace larq_melius::program {

// An operator with its shapes known and its constants in the form that it takes. Reads and writes the tensors of the
// host, which have memory by the time it runs.
class Operator {
 public:
  virtual ~Operator() = default;
  virtual void Run(Host& host, ThreadPool& pool, int threads) const = 0;
};

// Memory of constants that are computed when a network is opened.
using OwnedConstants = std::deque<AlignedBuffer<float>>;

// Makes an operator for the shapes that its inputs have in the host, and gives its outputs their shapes. Null for one
// that has nothing to do when the network runs, because its outputs have become constants.
//
// Throws Error if this program has no such operator, or not for these types, shapes or options.
std::unique_ptr<Operator> MakeOperator(const ModelOperator& op, const Model& model, Host& host,
                                       const FloatKernels& kernels, OwnedConstants& constants);

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_OPERATORS_H_
