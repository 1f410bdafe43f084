// Bugs about epochs and faults.
#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "exchange/frame.h"
#include "kernels/aligned_bytes.h"
#include "tests/sim/bugs.h"

namespace conclave::sim {
namespace {

template <typename Message>
Message* Said(CoordinatorEvent& event) {
  auto* said = std::get_if<WorkerSaid>(&event);
  return said == nullptr ? nullptr : std::get_if<Message>(&said->message);
}

template <typename Message>
Message* ToldBy(CoordinatorEffect& effect) {
  auto* tell = std::get_if<TellWorker>(&effect);
  return tell == nullptr ? nullptr : std::get_if<Message>(&tell->message);
}

// Ready is said while experts are still being loaded: the commit comes too early.
class ReadyTooEarly final : public Tamper {
  void OfWorker(int, WorkerOutbox& outbox) override {
    for (std::size_t i = 0; i < outbox.size(); ++i) {
      const auto* load = std::get_if<LoadExperts>(&outbox[i]);
      if (load == nullptr) continue;
      outbox.push_back(Tell{Ready{.epoch = load->epoch, .ok = true, .error = {}}});
      return;
    }
  }
};

// Tokens of the epoch before, as if that epoch's result had been taken for this one's.
class ResultOfOldEpoch final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    auto* result = Said<StepResult>(event);
    if (result == nullptr) return true;
    for (SampledToken& sampled : result->sampled) {
      const TokenId fresh = sampled.token;
      const auto old = last_.find(sampled.seq);
      if (old != last_.end() && old->second.first < result->epoch)
        sampled.token = old->second.second;
      last_[sampled.seq] = {result->epoch, fresh};
    }
    return true;
  }
  std::map<SeqId, std::pair<Epoch, TokenId>> last_;
};

class EpochUsedAgain final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    if (auto* hello = Said<Hello>(event)) hello->last_epoch = {};
    return true;
  }
};

// A new coordinator goes on in the term of the one before, with higher numbers.
class TermUsedAgain final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    if (auto* hello = Said<Hello>(event)) hello->last_epoch.term = 0;
    return true;
  }
};

// What a worker sent in the epoch before, under today's header.
class ZombiesFrame final : public Tamper {
  void OfFrame(std::span<std::byte> frame) override {
    FrameHeader header;
    std::memcpy(&header, frame.data(), sizeof header);
    Kept& kept = kept_[{header.source * 256 + header.destination,
                        header.direction * 256 + header.moe_layer, frame.size()}];
    std::vector<std::byte> fresh(frame.begin(), frame.end());
    const Epoch epoch{header.term, header.epoch};
    if (header.slots > 0 && kept.epoch != Epoch{} && kept.epoch < epoch) {
      AlignedBytes aligned(frame.size());
      const std::span<std::byte> copy(aligned.data(), frame.size());
      std::ranges::copy(kept.bytes, copy.begin());
      std::memcpy(copy.data(), &header, sizeof header);
      SealFrame(copy);
      std::ranges::copy(copy, frame.begin());
    }
    kept = {epoch, std::move(fresh)};
  }
  struct Kept {
    Epoch epoch;
    std::vector<std::byte> bytes;
  };
  std::map<std::tuple<int, std::uint32_t, std::size_t>, Kept> kept_;
};

template <int kShift>
class ResumedElsewhere final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    auto* asked = std::get_if<ClientAsked>(&event);
    if (asked != nullptr && asked->ask.resume_after > 0) asked->ask.resume_after += kShift;
    return true;
  }
};

class ResumeLost final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    const auto* asked = std::get_if<ClientAsked>(&event);
    return asked == nullptr || asked->ask.resume_after == 0;
  }
};

// One member is not told which expert it owns.
class ExpertMissing final : public Tamper {
  void OfArrival(int node, ToWorker& message) override {
    auto* prepare = std::get_if<Prepare>(&message);
    if (prepare == nullptr || prepare->peers.size() < 2) return;
    const std::string mine = absl::StrCat("uuid-", node, "-");
    const auto self = std::ranges::find_if(
        prepare->peers, [&](const ViewPeer& peer) { return peer.uuid.starts_with(mine); });
    if (self == prepare->peers.end()) return;
    const auto& other =
        self == prepare->peers.begin() ? prepare->peers.back() : *prepare->peers.begin();
    const auto all = prepare->placement.all();
    const auto owned = std::ranges::find_if(
        all, [&](const ExpertOwners& owners) { return owners.slots[0] == self->slot.value; });
    if (owned == all.end()) return;
    const auto at = static_cast<int>(owned - all.begin());
    const int experts = prepare->placement.experts();
    PlacementBuilder builder(prepare->placement);
    builder.ClearOwners(at / experts, at % experts);
    builder.AddOwner(at / experts, at % experts, other.slot);
    prepare->placement = builder.Build();
  }
};

// Ticks come from a clock that is ahead of the one that stamps what is heard.
class WrongClock final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    if (auto* ticked = std::get_if<Ticked>(&event)) ticked->now += 1'000'000;
    return true;
  }
};

class SentAwayUnasked final : public Tamper {
  void OfCoordinator(CoordinatorOutbox& outbox) override {
    for (CoordinatorEffect& effect : outbox) {
      const auto* ask = ToldBy<StepAsk>(effect);
      if (ask == nullptr || ask->step.value != 7) continue;
      const LinkId link = std::get<TellWorker>(effect).link;
      outbox.push_back(TellWorker{link, Goodbye{.reason = "drained", .refused = false}});
      return;
    }
  }
};

class CommitLost final : public Tamper {
  void OfCoordinator(CoordinatorOutbox& outbox) override {
    const auto commit = std::ranges::find_if(
        outbox, [](CoordinatorEffect& effect) { return ToldBy<Commit>(effect) != nullptr; });
    if (commit != outbox.end()) outbox.erase(commit);
  }
};

class PlanOfOldEpoch final : public Tamper {
  void OfCoordinator(CoordinatorOutbox& outbox) override {
    for (CoordinatorEffect& effect : outbox) {
      auto* ask = ToldBy<StepAsk>(effect);
      if (ask == nullptr || ask->epoch.number < 2) continue;
      ask->epoch = Epoch{ask->epoch.term, ask->epoch.number - 1};
    }
  }
};

class ExpertWithoutOwner final : public Tamper {
  void OfCoordinator(CoordinatorOutbox& outbox) override {
    for (CoordinatorEffect& effect : outbox) {
      auto* prepare = ToldBy<Prepare>(effect);
      if (prepare == nullptr) continue;
      PlacementBuilder builder(prepare->placement);
      builder.ClearOwners(0, 0);
      prepare->placement = builder.Build();
    }
  }
};

// The address for the next epoch is the one that this epoch has used up.
class AddressUsedTwice final : public Tamper {
  void OfWorker(int node, WorkerOutbox& outbox) override {
    for (WorkerEffect& effect : outbox) {
      auto* tell = std::get_if<Tell>(&effect);
      if (tell == nullptr) continue;
      if (auto* ready = std::get_if<Ready>(&tell->message)) used_[node] = ready->standby_address;
      auto* loaded = std::get_if<Loaded>(&tell->message);
      if (loaded != nullptr && !used_[node].empty()) loaded->address = used_[node];
    }
  }
  std::map<int, std::string> used_;
};

class ReadyLost final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    const auto* ready = Said<Ready>(event);
    return ready == nullptr || ready->epoch.number != 2;
  }
};

// An ask is taken and forgotten.
class AskForgotten final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    auto* asked = std::get_if<ClientAsked>(&event);
    return asked == nullptr || asked->ask.id != "r1";
  }
};

template <typename Bug>
PlantedBug Plant(std::string name, std::string scenario, int seeds) {
  return {std::move(name), std::move(scenario), seeds,
          []() -> std::unique_ptr<Tamper> { return std::make_unique<Bug>(); }};
}

}  // namespace

std::vector<PlantedBug> EpochBugs() {
  std::vector<PlantedBug> bugs;
  bugs.push_back(Plant<ReadyTooEarly>("a commit before all are ready", "wide", 5));
  bugs.push_back(Plant<ResultOfOldEpoch>("a result of an old epoch is taken", "crash", 20));
  bugs.push_back(
      Plant<EpochUsedAgain>("an epoch is used again after a restart", "coordinator", 20));
  bugs.push_back(Plant<TermUsedAgain>("a term is used again after a restart", "coordinator", 20));
  bugs.push_back(Plant<ZombiesFrame>("a frame of a zombie is taken", "crash", 60));
  bugs.push_back(Plant<ResumedElsewhere<-1>>("a resumed stream repeats a token", "resume", 10));
  bugs.push_back(Plant<ResumedElsewhere<1>>("a resumed stream skips a token", "resume", 10));
  bugs.push_back(Plant<ResumeLost>("a resumed request is lost", "resume", 10));
  bugs.push_back(Plant<ExpertMissing>("a member is ready without an expert", "wide", 5));
  bugs.push_back(Plant<WrongClock>("silence is judged by another clock", "elastic", 20));
  bugs.push_back(Plant<SentAwayUnasked>("a worker is sent away unasked", "wide", 10));
  bugs.push_back(Plant<CommitLost>("one member never hears of the commit", "mixed", 5));
  bugs.push_back(Plant<PlanOfOldEpoch>("a plan of the old epoch is sent", "crash", 10));
  bugs.push_back(Plant<ExpertWithoutOwner>("an expert has no owner", "mixed", 5));
  bugs.push_back(Plant<AddressUsedTwice>("an endpoint serves two epochs", "join", 10));
  bugs.push_back(Plant<ReadyLost>("a word of readiness is lost", "join", 10));
  bugs.push_back(Plant<AskForgotten>("one request is forgotten", "mixed", 5));
  return bugs;
}

}  // namespace conclave::sim
