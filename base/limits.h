// Every bound has a name, here, related to the others. Sizes of memory that come from outside are
// checked against these before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace conclave {

// The cluster.
inline constexpr int kSlotsMax = 128;     // workers that can be members at once
inline constexpr int kReplicasMax = 4;    // owners of one (layer, expert)
inline constexpr int kPlansAheadMax = 2;  // plans sent whose result has not returned

// The model.
inline constexpr int kLayersMax = 256;
inline constexpr int kExpertsMax = 512;
inline constexpr int kTopkMax = 16;
inline constexpr int kHiddenMax = 16384;
inline constexpr int kHeadDimMax = 512;
inline constexpr int kHeadsMax = 512;
inline constexpr int kFfnWidthMax = 65536;
inline constexpr int kVocabMax = 1 << 20;
inline constexpr int kContextMax = 1 << 20;  // positions of one sequence

// A step.
inline constexpr int kWorkerRowsMax = 8192;  // rows of one worker in one step
inline constexpr int kStepRowsMax = kSlotsMax * kWorkerRowsMax;  // rows of one step, all workers
inline constexpr int kArrivalsMax = kStepRowsMax;  // rows of others that a worker takes in a round
inline constexpr int kArrivalsLeast = kSlotsMax - 1;  // and at least: a row of every other worker
inline constexpr int kRoundsMax = kWorkerRowsMax;  // rounds of one exchange: a row each, at most
inline constexpr int kSequencesMax = 1024;   // open at once on one worker
inline constexpr int kKvBlockTokens = 32;    // positions in one KV block, counted from position 0

// A request.
inline constexpr int kStopIdsMax = 64;
inline constexpr int kStopStringsMax = 16;
inline constexpr int kStopStringBytesMax = 256;
inline constexpr int kLogprobsMax = 32;  // alternatives reported per position
inline constexpr int kLogitBiasMax = 1024;
inline constexpr int kRequestIdBytesMax = 128;
inline constexpr std::size_t kRequestBytesMax = std::size_t{8} << 20;  // one gRPC request message
inline constexpr std::size_t kControlBytesMax = std::size_t{128}
                                                << 20;  // one coordinator-worker message
// Tokens of all the sequences that one part of a plan opens.
inline constexpr std::int64_t kOpenTokensPerStepMax = std::int64_t{8} << 20;
inline constexpr std::size_t kRecorderBytesMax = std::size_t{1} << 20;  // one flight record

static_assert(kTopkMax <= kExpertsMax);
static_assert(kVocabMax < 1 << 21, "a token id takes three bytes of a message");
static_assert(3 * kOpenTokensPerStepMax <= std::int64_t{kControlBytesMax} / 2,
              "the prompts of one part of a plan fit into one message");
static_assert(std::size_t{kWorkerRowsMax} * kLayersMax * kTopkMax * 2 <= kControlBytesMax / 2,
              "the routed experts of one part of a step fit into one message");
static_assert(kContextMax <= kOpenTokensPerStepMax, "any one sequence may be opened");
static_assert(kExpertsMax <= UINT16_MAX, "an expert id travels as 16 bits");
static_assert(kSlotsMax <= INT8_MAX + 1, "a worker id fits a signed byte's positive range");
static_assert(std::int64_t{kStepRowsMax} * kTopkMax <= INT32_MAX, "the assignments of a step fit 32 bits");
static_assert(kWorkerRowsMax - 1 <= UINT16_MAX, "a frame's rows are counted in 16 bits");
static_assert(kRoundsMax - 1 <= UINT16_MAX, "a round's number travels as 16 bits");
static_assert(kLayersMax - 1 <= UINT16_MAX, "a layer's number travels as 16 bits");

}  // namespace conclave
