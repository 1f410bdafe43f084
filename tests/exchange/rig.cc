#include "exchange/rig.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/status.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

constexpr std::byte kGuard{0xa5};
constexpr std::byte kPoison{0xee};
constexpr std::size_t kGuardBytes = 64;

std::uint64_t SeedOf(const FrameName& name) {
  std::uint64_t seed = Mix(Mix(7, name.epoch), name.exchange);
  seed = Mix(seed, static_cast<std::uint64_t>(name.from));
  return Mix(seed, static_cast<std::uint64_t>(name.to));
}

std::byte* AlignUp(std::byte* p) {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  return p + (64 - at % 64) % 64;
}

}  // namespace

std::size_t PatternBytes(const FrameName& name) {
  const std::uint64_t draw = Mix(SeedOf(name), 1);
  const std::size_t jitter = (draw >> 8) % 5;  // around an edge: -2..+2
  switch (draw % 16) {
    case 0:
      return 1;
    case 1:
      return (std::size_t{1} << 20) + (draw >> 8) % (std::size_t{2} << 20);
    case 2:
      return (std::size_t{64} << 10) - 2 + jitter;
    case 3:
      return (std::size_t{8} << 10) - 2 + jitter;
    case 4:
      return (std::size_t{128} << 10) + (draw >> 8) % (std::size_t{512} << 10);
    case 5:
      return 128;
    default:
      return 1 + (draw >> 8) % 20000;
  }
}

void FillPattern(const FrameName& name, std::span<std::byte> bytes) {
  const std::uint64_t seed = SeedOf(name);
  std::size_t i = 0;
  std::uint64_t word = seed;
  for (; i + 8 <= bytes.size(); i += 8, word += 0x9e3779b97f4a7c15u) {
    std::memcpy(bytes.data() + i, &word, 8);
  }
  if (i < bytes.size()) std::memcpy(bytes.data() + i, &word, bytes.size() - i);
}

std::string CheckPattern(const FrameName& name, std::span<const std::byte> bytes) {
  std::vector<std::byte> right(bytes.size());
  FillPattern(name, right);
  if (std::ranges::equal(right, bytes)) return "";
  const auto where = std::ranges::mismatch(right, bytes).in1 - right.begin();
  return absl::StrCat("epoch ", name.epoch, " exchange ", name.exchange, " from ", name.from,
                      " to ", name.to, " differs at byte ", where, " of ", bytes.size());
}

TestSink::TestSink(std::size_t capacity) : capacity_(capacity) { Clear(); }

void TestSink::Clear() {
  room_.assign(capacity_ + std::size_t{kSlotsMax} * 3 * kGuardBytes, kPoison);
  bytes_.assign(kSlotsMax, 0);
  place_.assign(kSlotsMax, nullptr);
  used_ = 0;
  reserved_ = 0;
}

std::span<std::byte> TestSink::Reserve(Slot from, std::size_t bytes) {
  const auto slot = static_cast<std::size_t>(from.value);
  CONCLAVE_CHECK(place_[slot] == nullptr, "slot %d reserved twice", from.value);
  if (used_ + bytes > capacity_) return {};
  used_ += bytes;
  ++reserved_;
  std::byte* begin = room_.data();
  for (std::size_t s = 0; s < place_.size(); ++s) {
    if (place_[s] != nullptr) begin = std::max(begin, place_[s] + bytes_[s] + kGuardBytes);
  }
  begin = AlignUp(begin);
  std::memset(begin + bytes, static_cast<int>(kGuard), kGuardBytes);
  place_[slot] = begin;
  bytes_[slot] = bytes;
  return {begin, bytes};
}

std::span<const std::byte> TestSink::From(Slot slot) const {
  const auto s = static_cast<std::size_t>(slot.value);
  return {place_[s], bytes_[s]};
}

bool TestSink::GuardsHold() const {
  for (std::size_t s = 0; s < place_.size(); ++s) {
    if (place_[s] == nullptr) continue;
    const std::span guard(place_[s] + bytes_[s], kGuardBytes);
    if (!std::ranges::all_of(guard, [](std::byte b) { return b == kGuard; })) return false;
  }
  return true;
}

Party::Party(std::unique_ptr<ExchangeBackend> backend, Slot slot)
    : backend_(std::move(backend)), slot_(slot) {
  set_capacity(std::size_t{32} << 20);
}

absl::Status Party::Open(Epoch epoch, const std::vector<Peer>& peers) {
  view_ = {.epoch = epoch, .self = slot_, .peers = peers};
  exchange_ = 0;
  return backend_->Open(view_, kLong);
}

absl::Status Party::Exchange(Micros timeout) {
  FrameName name{.epoch = view_.epoch.number, .exchange = exchange_, .from = 0, .to = 0};
  outgoing_.resize(view_.peers.size());
  std::vector<OutFrame> sends;
  for (std::size_t i = 0; i < view_.peers.size(); ++i) {
    const Slot to = view_.peers[i].slot;
    if (to == slot_) continue;
    name.from = slot_.value;
    name.to = to.value;
    outgoing_[i].resize(size_(name));
    FillPattern(name, outgoing_[i]);
    sends.push_back({.to = to, .bytes = outgoing_[i]});
  }
  sink_->Clear();
  RETURN_IF_ERROR(backend_->Exchange(sends, *sink_, timeout));
  ++exchange_;
  for (const Peer& peer : view_.peers) {
    if (peer.slot == slot_) continue;
    name.from = peer.slot.value;
    name.to = slot_.value;
    const std::span<const std::byte> came = sink_->From(peer.slot);
    if (came.size() != size_(name)) {
      return absl::InternalError(
          absl::StrCat(came.size(), " bytes from ", peer.slot.value, ", expected ", size_(name)));
    }
    if (const std::string wrong = CheckPattern(name, came); !wrong.empty()) {
      return absl::InternalError(wrong);
    }
  }
  if (!sink_->GuardsHold()) return absl::InternalError("wrote past the end of a frame's room");
  return absl::OkStatus();
}

std::vector<BackendKind> KindsHere() {
  std::vector<BackendKind> kinds;
  for (const std::string& name : ExchangeBackendsHere()) {
    kinds.push_back({.name = name, .transports = ""});
    if (name == "ucx") kinds.push_back({.name = name, .transports = "tcp"});
  }
  return kinds;
}

Rig::Rig(const BackendKind& kind, const std::vector<int>& slots) {
  for (const int slot : slots) {
    std::unique_ptr<ExchangeBackend> backend;
    if (kind.name == "local") {
      backend = hub_.NewBackend();
    } else {
      auto made = NewUcxBackend({.transports = kind.transports});
      CONCLAVE_CHECK(made.ok(), "%s", made.status().ToString().c_str());
      backend = *std::move(made);
    }
    parties_.push_back(std::make_unique<Party>(std::move(backend), Slot{slot}));
  }
}

std::vector<int> Rig::All() const {
  std::vector<int> all;
  for (int i = 0; i < size(); ++i) all.push_back(i);
  return all;
}

std::vector<Peer> Rig::Peers(const std::vector<int>& members) {
  std::vector<Peer> peers;
  for (const int i : members.empty() ? All() : members) {
    absl::StatusOr<std::string> address = party(i).backend().StandbyAddress();
    CONCLAVE_CHECK(address.ok(), "%s", address.status().ToString().c_str());
    peers.push_back({.slot = party(i).slot(), .address = *address});
  }
  return peers;
}

void Rig::Each(const std::vector<int>& members, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (const int i : members) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

void Rig::Each(const std::function<void(int)>& body) { Each(All(), body); }

void Rig::ExpectWorks(Epoch epoch, int exchanges, const std::vector<int>& members) {
  const std::vector<int> who = members.empty() ? All() : members;
  const std::vector<Peer> peers = Peers(who);
  Each(who, [&](int i) {
    absl::Status status = party(i).Open(epoch, peers);
    for (int n = 0; status.ok() && n < exchanges; ++n) status = party(i).Exchange(kLong);
    EXPECT_TRUE(status.ok()) << "slot " << party(i).slot().value << ": " << status;
  });
}

}  // namespace conclave
