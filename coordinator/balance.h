// Which worker a sequence lives on: where its prefix is, if that saves more than it costs that
// worker to have more sequences than others; then where the load is least.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/ids.h"

namespace conclave {

// One worker that has room for the sequence now.
struct HomeOffer {
  Slot slot;
  std::int32_t hit_blocks = 0;       // of its prefix, known there
  std::int32_t sequences = 0;        // running there
  std::int32_t held = 0, total = 0;  // KV blocks
};

// Index into offers; nothing when there are none. Ties: fewer sequences, smaller part of the KV
// memory held, lower slot.
std::optional<std::size_t> ChooseHome(std::span<const HomeOffer> offers);

}  // namespace conclave
