// One sequence of a request on one worker: where its K and V are, and how far they go.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "coordinator/kv_blocks.h"

namespace conclave {

// Positions [0, planned) are in plans sent; positions [0, done) are in results that are back. What
// is shared with others at the start counts as done when the first result of this sequence is back.
struct Stay {
  Slot home;
  SeqId seq;
  bool open_due = false;   // the next plan with a chunk of it must open it
  bool confirmed = false;  // a result of this sequence has come back
  std::int32_t planned = 0;
  std::int32_t done = 0;
  std::vector<BlockId> blocks;  // held; the first blocks_known are in the worker's table
  std::int32_t blocks_known = 0;
  std::vector<ContentId> chain;  // content of the first whole blocks that were published
  StepId planned_in;             // the newest plan with a chunk of it
};

// The second sequence of a request that moves: it computes what is known already, on the request's
// next home, while the first one goes on decoding. It never samples. A worker knows the tokens that
// a sequence was opened with, so one pass goes to the last whole block that was known then; what
// was said meanwhile is for the next pass, or for the request when it continues here.
struct Understudy : Stay {
  std::int32_t goal = 0;    // of this pass: whole blocks
  std::int32_t tail = 0;    // positions that were missing when it began
  std::int32_t passes = 0;  // begun, after the first
  bool caught_up = false;   // the request waits for its last token at its old home, then moves

  bool under_way() const { return !open_due && done < planned; }
};

}  // namespace conclave
