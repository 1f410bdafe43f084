#include "worker/check_ask.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "protocol/rounds.h"

namespace conclave {
namespace {

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// What others send in a round, and what is run of this worker's own, must fit the memory for it.
absl::Status CheckRounds(const CheckAskArgs& args) {
  const StepAsk& ask = args.ask;
  const auto self = static_cast<std::size_t>(ask.part_index);
  for (const std::int32_t rows : ask.part_rows) {
    if (rows < 0 || rows > kWorkerRowsMax) return Refuse("a part of ", rows, " rows");
  }
  if (ask.part_rows[self] != ask.part.rows()) {
    return Refuse("the plan says ", ask.part_rows[self], " rows; the part has ", ask.part.rows());
  }
  if (ask.rounds < 1 || ask.rounds > kRoundsMax) return Refuse("a plan of ", ask.rounds, " rounds");
  if (RoundsFit(ask.part_rows, self, ask.rounds, args.config.arrivals_max)) return absl::OkStatus();
  return Refuse("in ", ask.rounds, " rounds: ", LargestSlice(ask.part_rows[self], ask.rounds),
                " rows of its own and ", RoundArrivalsMax(ask.part_rows, self, ask.rounds),
                " of others in one; this worker takes ", args.config.arrivals_max, " of each");
}

}  // namespace

absl::Status CheckAsk(const CheckAskArgs& args) {
  const StepAsk& ask = args.ask;
  const EpochTables& epoch = args.epoch;
  if (ask.epoch != epoch.epoch()) {
    return Refuse("plan of epoch ", ask.epoch.number, "; this is epoch ", epoch.epoch().number);
  }
  if (ask.step != args.step_expected) {
    return Refuse("step ", ask.step.value, " came; step ", args.step_expected.value, " is next");
  }
  if (ask.part_digests.size() != static_cast<std::size_t>(epoch.peers()) ||
      ask.part_rows.size() != ask.part_digests.size() || ask.part_index != epoch.self()) {
    return Refuse("part ", ask.part_index, " of ", ask.part_digests.size(), "; this is peer ",
                  epoch.self(), " of ", epoch.peers());
  }
  if (ask.part.slot != epoch.slot(epoch.self())) {
    return Refuse("part of slot ", ask.part.slot.value, "; this is slot ",
                  epoch.slot(epoch.self()).value);
  }
  if (DigestOf(ask.part) != ask.part_digests[static_cast<std::size_t>(ask.part_index)]) {
    return Refuse("the part's digest is not what the plan says");
  }
  if (PlanDigest(ask) != ask.digest) {
    return Refuse("the plan's digest is not that of its parts");
  }
  for (const Chunk& chunk : ask.part.chunks) {
    if (chunk.count < 1 || chunk.count > kWorkerRowsMax) {
      return Refuse("chunk of sequence ", chunk.seq.value, ": ", chunk.count, " positions");
    }
  }
  const std::int64_t rows = ask.part.rows();
  if (rows > args.config.rows_max) {
    return Refuse(rows, " rows; this worker takes ", args.config.rows_max);
  }
  return CheckRounds(args);
}

}  // namespace conclave
