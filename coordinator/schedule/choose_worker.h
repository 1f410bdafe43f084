// Which worker a sequence lives on: where its prefix is, if that saves more than it costs that
// worker to have more sequences than others; then where the load is least.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/ids.h"
#include "coordinator/requests.h"
#include "coordinator/schedule/budget.h"

namespace conclave {

class StepDraft;

// One worker that has room for the sequence now.
struct HomeOffer {
  Slot slot;
  std::int32_t hit_blocks = 0;       // of its prefix, known there
  std::int32_t sequences = 0;        // that live there
  std::int32_t held = 0, total = 0;  // KV blocks; held: those promised to sequences there, too
};

// Index into offers; nothing when there are none. Ties: fewer sequences, smaller part of the KV
// memory held, lower slot.
std::optional<std::size_t> ChooseHome(std::span<const HomeOffer> offers);

struct HomeSearch {
  enum class Outcome : std::uint8_t {
    kFound,
    kNoRows,    // every worker's part of this step is full
    kNoBlocks,  // some worker could run rows of it, but none of these has KV memory for it
  };
  Outcome outcome = Outcome::kNoRows;
  Slot slot;  // kFound: the best worker for all known tokens of the request
};

// Looks for a worker that can begin the request in this step, with rows of this use, when it may
// share `hits_max` blocks of a known prefix. Allocates nothing.
HomeSearch FindHome(StepDraft& draft, const Request& request, RowUse use, std::int32_t hits_max);

}  // namespace conclave
