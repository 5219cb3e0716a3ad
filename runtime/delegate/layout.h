// Step 4 of the compiler: lets maps that are concatenated share one buffer, in which each has its channels, and chooses
// what is kept as planes, and of what only a few rows are.
#ifndef LARQ_MELIUS_DELEGATE_LAYOUT_H_
#define LARQ_MELIUS_DELEGATE_LAYOUT_H_

#include "program.h"

namespace larq_melius {

// Gives every float map that the program makes and keeps a buffer and a place in it.
//
// With `share`, the maps of a dense network grow in one buffer: a concatenation whose parts lie behind one another
// already is no work, and an addition overwrites its summand. Concatenations that are no work any more are removed.
// What the runtime holds is copied into such a buffer, or out of it. With or without, a map is kept as planes where a
// convolution writes it and only convolutions that move column by column and max pools read it. Where one instruction
// reads it, and is the next, a ring of rows is kept; the same goes for what a pool at the end of such a chain makes.
//
// Needs shapes; `channels` of concatenated maps must not change afterwards.
void AssignLayout(Program& program, bool share);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_LAYOUT_H_
