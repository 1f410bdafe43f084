#include "coordinator/membership.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"

namespace conclave {
namespace {

constexpr std::uint64_t kEpochMax = std::uint64_t{1} << 62;  // epochs rise by one from there
constexpr std::size_t kLinksMax = 2 * kSlotsMax;  // newcomers that have not said Hello included

absl::Status Differs(const std::string& what, const std::string& theirs, const std::string& ours) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, " differs: this worker has ", theirs, ", the cluster has ", ours));
}

absl::Status Differs(const std::string& what, std::uint64_t theirs, std::uint64_t ours) {
  return Differs(what, absl::StrCat(absl::Hex(theirs)), absl::StrCat(absl::Hex(ours)));
}

absl::Status OutOfRange(const std::string& what, std::int64_t value) {
  return absl::FailedPreconditionError(absl::StrCat(what, " is out of range: ", value));
}

}  // namespace

bool Membership::Arrive(LinkId id, Micros now) {
  if (links_.size() >= kLinksMax) return false;
  WorkerLink link;
  link.id = id;
  link.arrived = now;
  link.heard = now;
  return links_.emplace(id, std::move(link)).second;
}

WorkerLink* Membership::Find(LinkId id) {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : &found->second;
}

const WorkerLink* Membership::Find(LinkId id) const {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : &found->second;
}

const WorkerLink* Membership::AtSlot(Slot slot) const {
  for (const auto& [id, link] : links_) {
    if (link.greeted && link.slot == slot) return &link;
  }
  return nullptr;
}

void Membership::Remove(LinkId id) { links_.erase(id); }

absl::Status Membership::CheckHello(const Hello& hello, const ModelFacts& facts) const {
  if (hello.wire_version != kWireVersion) {
    return Differs("wire version", hello.wire_version, kWireVersion);
  }
  const ModelFacts& model = hello.model;
  if (model.identity != facts.identity) {
    return Differs("model", absl::StrCat(model.name, " ", absl::Hex(model.identity)),
                   absl::StrCat(facts.name, " ", absl::Hex(facts.identity)));
  }
  if (model.vocab != facts.vocab || model.context != facts.context ||
      model.moe_layers != facts.moe_layers || model.experts != facts.experts ||
      model.topk != facts.topk) {
    return absl::FailedPreconditionError("the model's shape differs from the cluster's");
  }
  if (hello.last_epoch.value > kEpochMax) {
    return absl::FailedPreconditionError(
        absl::StrCat("last_epoch is out of range: ", hello.last_epoch.value));
  }
  if (hello.uuid.empty()) return absl::FailedPreconditionError("uuid is empty");
  for (const auto& [id, link] : links_) {
    if (link.greeted && link.hello.uuid == hello.uuid) {
      return absl::FailedPreconditionError(
          absl::StrCat("uuid ", hello.uuid, " is a member already"));
    }
  }
  if (hello.arrivals_max < 1) return OutOfRange("arrivals_max", hello.arrivals_max);
  if (hello.role == Role::kExpert) return absl::OkStatus();
  if (hello.kv_blocks < 1) return OutOfRange("kv_blocks", hello.kv_blocks);
  if (hello.rows_max < 1 || hello.rows_max > kRowsPerStepMax) {
    return OutOfRange("rows_max", hello.rows_max);
  }
  return absl::OkStatus();
}

absl::Status Membership::CheckReference(const Hello& hello) const {
  if (!reference_.has_value()) return absl::OkStatus();
  const Reference& reference = *reference_;
  if (hello.exchange != reference.exchange) {
    return Differs("exchange", hello.exchange, reference.exchange);
  }
  if (hello.kernels != reference.kernels) {
    return Differs("kernel set", hello.kernels, reference.kernels);
  }
  if (hello.kv_dtype != reference.kv_dtype) {
    return Differs("KV type", hello.kv_dtype, reference.kv_dtype);
  }
  if (hello.numerics != reference.numerics) {
    return Differs("numerics fingerprint", hello.numerics, reference.numerics);
  }
  if (hello.model.expert_bytes != reference.expert_bytes) {
    return Differs("size of a packed expert", hello.model.expert_bytes, reference.expert_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<Slot> Membership::Greet(WorkerLink& link, const Hello& hello,
                                       const ModelFacts& facts) {
  if (link.greeted) return absl::FailedPreconditionError("said Hello twice");
  RETURN_IF_ERROR(CheckHello(hello, facts));
  RETURN_IF_ERROR(CheckReference(hello));
  std::array<bool, kSlotsMax> taken{};
  for (const auto& [id, other] : links_) {
    if (other.greeted) taken[static_cast<std::size_t>(other.slot.value)] = true;
  }
  auto slot = std::ranges::find(taken, false);
  const std::int32_t last = hello.last_slot;
  if (last >= 0 && last < kSlotsMax && !taken[static_cast<std::size_t>(last)]) {
    slot = taken.begin() + last;
  }
  if (slot == taken.end()) {
    return absl::FailedPreconditionError(absl::StrCat("all ", kSlotsMax, " slots are taken"));
  }
  if (!reference_.has_value()) {
    reference_ = Reference{.numerics = hello.numerics,
                           .kernels = hello.kernels,
                           .kv_dtype = hello.kv_dtype,
                           .exchange = hello.exchange,
                           .expert_bytes = hello.model.expert_bytes};
  }
  link.greeted = true;
  link.hello = hello;
  link.slot = Slot{static_cast<std::int32_t>(slot - taken.begin())};
  link.standby_address = hello.standby_address;
  return link.slot;
}

std::vector<const WorkerLink*> Membership::Greeted() const {
  std::vector<const WorkerLink*> greeted;
  for (const auto& [id, link] : links_) {
    if (link.greeted) greeted.push_back(&link);
  }
  std::ranges::sort(greeted, std::less{}, [](const WorkerLink* link) { return link->slot; });
  return greeted;
}

std::vector<LinkId> Membership::Silent(Micros now, const Limits& limits) const {
  std::vector<LinkId> silent;
  for (const auto& [id, link] : links_) {
    const Micros heard = std::max(link.heard, limits.since);
    if (now - heard > (link.greeted ? limits.silence : limits.hello)) silent.push_back(id);
  }
  return silent;
}

}  // namespace conclave
