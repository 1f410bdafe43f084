#include "worker/step.h"

#include "base/check.h"

namespace conclave {
namespace {

// Read these tables and you have read the worker.
constexpr Phase kFirstPhases[] = {
    {PhaseId::kEmbed, Embed},
};
constexpr Phase kMoePhases[] = {
    {PhaseId::kAttend, Attend},  // hidden += attention(hidden)
    {PhaseId::kRoute, Route},    // which experts, with what weight
};
constexpr Phase kRoundPhases[] = {    // once per round, each for a slice of the rows
    {PhaseId::kDispatch, Dispatch},   // packs rows by owner; ends in an exchange
    {PhaseId::kExperts, RunExperts},  // arrived -> answered
    {PhaseId::kSendBack, SendBack},   // packs answers by origin; ends in an exchange
    {PhaseId::kCombine, Combine},     // hidden += weighted answers, summed in k order
};
constexpr Phase kDensePhases[] = {
    {PhaseId::kAttend, Attend},
    {PhaseId::kDense, Dense},
};
constexpr Phase kLastPhases[] = {
    {PhaseId::kLogits, Logits},  // these two alternate over blocks of rows
    {PhaseId::kSample, Sample},
};

// Times one phase.
class Span {
 public:
  Span(StepContext& step, PhaseId id) : step_(step), id_(id), begin_(step.trace.NowMicros()) {}
  ~Span() { step_.times[static_cast<std::size_t>(id_)].micros += step_.trace.NowMicros() - begin_; }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  StepContext& step_;
  PhaseId id_;
  std::uint64_t begin_;
};

}  // namespace

StepRun::StepRun(const ModelConfig& model) {
  Append(kFirstPhases, 0);
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    const int layer = static_cast<int>(l);
    switch (model.layers[l].ffn) {
      case FfnKind::kMoe:
        Append(kMoePhases, layer);
        Append(kRoundPhases, layer);
        break;
      case FfnKind::kDense:
        Append(kDensePhases, layer);
        break;
    }
  }
  Append(kLastPhases, 0);
}

void StepRun::Append(std::span<const Phase> group, int layer) {
  const std::size_t first = stops_.size();
  for (const Phase& phase : group) stops_.push_back({&phase, layer, first});
}

Progress StepRun::Advance(StepContext& step) {
  while (cursor_ < stops_.size()) {
    const Stop& stop = stops_[cursor_++];
    step.layer = stop.layer;
    const Span span(step, stop.phase->id);
    const After after = stop.phase->run(step);
    step.progress.fetch_add(1, std::memory_order_relaxed);
    switch (after) {
      case After::kNext:
        break;
      case After::kExchange:
        return Progress::kWaiting;  // resumed by ExchangeDone
      case After::kAgain:
        cursor_ = stop.again;
        break;
      case After::kBroken:
        return Progress::kBroken;
    }
  }
  return Progress::kDone;
}

FrameExpectation StepContext::Expect(Direction direction, int peer, std::int64_t slots) const {
  return {.epoch = ask->epoch,
          .step = ask->step,
          .plan_digest = ask->digest,
          .moe_layer = moe_layer(),
          .round = round,
          .direction = direction,
          .source = epoch->slot(peer),
          .destination = epoch->slot(epoch->self()),
          .experts_owned = static_cast<int>(epoch->Owned(moe_layer(), epoch->self()).size()),
          .slots = slots,
          .rows_max = SliceAt(peer).count,
          .topk = model.topk};
}

void StepContext::Address(Direction direction, int peer, FrameHeader& header) const {
  header = {};
  header.magic = kFrameMagic;
  header.source = static_cast<std::uint8_t>(epoch->slot(epoch->self()).value);
  header.destination = static_cast<std::uint8_t>(epoch->slot(peer).value);
  header.direction = static_cast<std::uint16_t>(direction);
  header.term = ask->epoch.term;
  header.epoch = ask->epoch.number;
  header.step = ask->step.value;
  header.plan_digest = ask->digest;
  header.moe_layer = static_cast<std::uint16_t>(moe_layer());
  header.round = static_cast<std::uint16_t>(round);
}

void StepContext::Charge(PhaseId phase, Cost cost) {
  PhaseTime& time = times[static_cast<std::size_t>(phase)];
  time.bytes += cost.bytes;
  time.ops += cost.ops;
}

void StepContext::AskExchange(FrameArena& into) {
  sends = 0;
  for (int peer = 0; peer < epoch->peers(); ++peer) {
    if (peer == epoch->self()) continue;
    const std::span<std::byte> frame = ws.frames[static_cast<std::size_t>(peer)];
    ws.sends[sends++] = {epoch->slot(peer), frame};
    result.bytes_sent += frame.size();
  }
  into.Clear();
  sink = &into;
}

}  // namespace conclave
