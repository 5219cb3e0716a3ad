// Instructions that take turns, a few rows each: what one makes is still in the caches when the next one reads it, and
// maps between them need memory for those rows only.
#ifndef LARQ_MELIUS_DELEGATE_ROW_CHAIN_H_
#define LARQ_MELIUS_DELEGATE_ROW_CHAIN_H_

#include <vector>

#include "execute.h"

namespace larq_melius {

// Whether an instruction can take its turn when a few of the rows that it reads have just been made, and needs none of
// them later.
bool ReadsRowsOnce(const Instruction& reader);

// Whether an instruction writes nowhere where those before it, from the `first` on, read: in turns, they still may.
bool WritesElsewhere(const Program& program, size_t first, size_t instruction);

class RowChain {
 public:
  // `members` are the executables of the instructions from `first` on. Each reads what the one before it makes, up to
  // the `trunk`-th of them; those behind that one read what it makes, no row more than once.
  RowChain(const Program& program, size_t first, size_t trunk, std::vector<const RowExecutable*> members);

  size_t first() const { return first_; }
  size_t last() const { return first_ + members_.size() - 1; }

  // Scratch memory that it needs for one thread. That of others is its own.
  int64_t memory_bytes() const { return memory_bytes_; }

  // Each thread makes a share of the trunk's rows, and all that they need. `nanoseconds`, of each member, grows by
  // what they took; may be null.
  void Run(const RunContext& context, const std::vector<void*>& values, std::vector<int64_t>* nanoseconds);

 private:
  // A thread's share of an image.
  struct Share;
  // A value between members, as it lies in a thread's memory.
  struct Ring {
    int value;
    int64_t offset;
    // Of planes; none where it is of pixels.
    int64_t channels;
    Planes planes;
  };

  void RunShare(const RunContext& context, const std::vector<void*>& values, Share& share) const;
  // Makes rows of a member's output, and of what it needs for them, until there are so many.
  void MakeUntil(const RunContext& context, Share& share, size_t member, int64_t rows) const;
  // Makes what a member behind the trunk can make of its rows.
  void Follow(const RunContext& context, Share& share, size_t member) const;
  void RunRows(const RunContext& context, Share& share, size_t member, int64_t end) const;

  size_t first_;
  size_t trunk_;
  std::vector<const RowExecutable*> members_;
  std::vector<Ring> rings_;
  // In that memory, the scratch memory of each member.
  std::vector<int64_t> scratch_offsets_;
  int64_t memory_bytes_ = 0;
  std::vector<AlignedBuffer<uint8_t>> memory_;  // of each thread but the first
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_ROW_CHAIN_H_
