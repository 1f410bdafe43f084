#include <array>
#include <cstring>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "exchange/exchange.h"

namespace conclave {
namespace {

constexpr absl::string_view kPeersPayload = "conclave.exchange.peers";

absl::Status About(absl::Status error, std::span<const Slot> peers) {
  SlotSet set;
  for (const Slot slot : peers) set.Add(slot);
  std::array<char, sizeof set.bits> bytes;
  std::memcpy(bytes.data(), set.bits.data(), bytes.size());
  error.SetPayload(kPeersPayload, absl::Cord(absl::string_view(bytes.data(), bytes.size())));
  return error;
}

std::string Join(std::span<const Slot> slots) {
  std::string text;
  for (const Slot slot : slots) absl::StrAppend(&text, text.empty() ? "" : ", ", slot.value);
  return text;
}

}  // namespace

SlotSet PeersOf(const absl::Status& error) {
  SlotSet peers;
  const auto payload = error.GetPayload(kPeersPayload);
  if (!payload.has_value()) return peers;
  const std::string bytes(*payload);
  if (bytes.size() == sizeof peers.bits) std::memcpy(peers.bits.data(), bytes.data(), bytes.size());
  return peers;
}

absl::Status PeerError(Slot peer, absl::string_view why) {
  return About(absl::UnavailableError(absl::StrCat("slot ", peer.value, " ", why)), {&peer, 1});
}

absl::Status DeadlineError(std::span<const Slot> silent, std::span<const Slot> not_taking) {
  if (silent.empty()) {
    return About(
        absl::DeadlineExceededError(absl::StrCat("frame not taken by slots ", Join(not_taking))),
        not_taking);
  }
  return About(absl::DeadlineExceededError(absl::StrCat("no frame from slots ", Join(silent))),
               silent);
}

}  // namespace conclave
