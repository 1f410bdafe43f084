// How large the encoded messages of a step can get. The planner keeps to kOpensBytesMax, so that no
// StepAsk ever exceeds kControlBytesMax: a worker would refuse it, be taken for lost, and be sent
// the same plan again.
#pragma once

#include <cstddef>

#include "base/limits.h"
#include "protocol/plan.h"

namespace conclave {
namespace message_size {

// Protocol Buffers write an integer in groups of 7 bits.
inline constexpr std::size_t kIdBytes = 3;      // a token or expert id
inline constexpr std::size_t kBlockBytes = 5;   // any 31 bits
inline constexpr std::size_t kSeqBytes = 10;    // any 64 bits
inline constexpr std::size_t kFloatBytes = 4;
inline constexpr std::size_t kFixedBytes = 256;  // an open's or a chunk's other fields, and all tags
static_assert(kVocabMax <= 1 << 21 && kContextMax <= 1 << 21 && kExpertsMax <= 1 << 21);

constexpr std::size_t OpenBytes(std::size_t tokens, std::size_t blocks, std::size_t biases,
                                std::size_t stop_ids) {
  return kFixedBytes + tokens * kIdBytes + blocks * kBlockBytes +
         biases * (kIdBytes + kFloatBytes) + stop_ids * kIdBytes;
}
inline constexpr std::size_t kLargestOpen =
    OpenBytes(kContextMax, kContextMax / kKvBlockTokens, kLogitBiasMax, 2 * kStopIdsMax);

}  // namespace message_size

// Upper bound of what an open takes in its message.
inline std::size_t EncodedBytesMax(const SequenceOpen& open) {
  return message_size::OpenBytes(open.tokens.size(), open.blocks.size(),
                                 open.sampling.logit_bias.size(), open.sampling.stop_ids.size());
}

// A part whose opens are this large gets no further one: the next step has room again.
inline constexpr std::size_t kOpensBytesMax = kControlBytesMax / 2;

// Every row is a chunk of its own at most, and every chunk begins a block at most; as many sequences
// may be closed as were ever open at one time.
static_assert(kOpensBytesMax + message_size::kLargestOpen +
                      kWorkerRowsMax * (message_size::kFixedBytes + 2 * message_size::kBlockBytes) +
                      2 * kWorkerRowsMax * message_size::kSeqBytes + kSlotsMax * 16 <=
                  kControlBytesMax,
              "a StepAsk fits its message");
// Routed experts of every row and layer, 16 bits each; log-probabilities of every row; expert loads.
static_assert(std::size_t{kWorkerRowsMax} * kLayersMax * kTopkMax * 2 +
                      std::size_t{kWorkerRowsMax} * (kLogprobsMax + 1) *
                          (message_size::kIdBytes + message_size::kFloatBytes) +
                      std::size_t{kWorkerRowsMax} * message_size::kFixedBytes +
                      std::size_t{kLayersMax} * kExpertsMax * 5 <=
                  kControlBytesMax,
              "a StepResult fits its message");

}  // namespace conclave
