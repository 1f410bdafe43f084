#include "worker/check_ask.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace conclave {
namespace {

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
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
      ask.part_index != epoch.self()) {
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
  if (DigestOf(ask.epoch, ask.step, ask.part_digests) != ask.digest) {
    return Refuse("the plan's digest is not that of its parts");
  }
  for (const Chunk& chunk : ask.part.chunks) {
    if (chunk.count < 1 || chunk.count > kRowsPerStepMax) {
      return Refuse("chunk of sequence ", chunk.seq.value, ": ", chunk.count, " positions");
    }
  }
  const std::int64_t rows = ask.part.rows();
  if (rows > args.config.rows_max) {
    return Refuse(rows, " rows; this worker takes ", args.config.rows_max);
  }
  if (ask.rows_in_all < rows || ask.rows_in_all > kRowsPerStepMax) {
    return Refuse("rows in all: ", ask.rows_in_all, ", of them here ", rows, ", at most ",
                  kRowsPerStepMax);
  }
  if (epoch.peers() > 1 && ask.rows_in_all - rows > args.config.arrivals_max) {
    return Refuse(ask.rows_in_all - rows, " rows of others; this worker takes ",
                  args.config.arrivals_max);
  }
  return absl::OkStatus();
}

}  // namespace conclave
