#include "worker/edge/worker_record.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"

namespace conclave {
namespace {

static_assert(kPlansAheadMax < 4);

// One line per kind of message, event or effect; what comes with every step has none.
struct Describe {
  FlightRecorder& recorder;

  void Done(absl::string_view what, Epoch epoch, const absl::Status& status) const {
    recorder.Note(what, " for epoch ", epoch.number,
                  status.ok() ? "" : " failed: ", status.message());
  }

  // From the coordinator.
  void operator()(const Welcome& welcome) const {
    recorder.Note("welcome as slot ", welcome.slot.value);
  }
  void operator()(const Prepare& prepare) const {
    recorder.Note("told to prepare epoch ", prepare.epoch.number, ", ", prepare.peers.size(),
                  " peers");
  }
  void operator()(const Commit& commit) const {
    recorder.Note("told to commit epoch ", commit.epoch.number, ", first step ",
                  commit.first_step.value);
  }
  void operator()(const Goodbye& goodbye) const {
    recorder.Note("goodbye", goodbye.refused ? ", refused: " : ": ", goodbye.reason);
  }
  void operator()(const Load& load) const {
    recorder.Note("told to load epoch ", load.epoch.number, " as slot ", load.slot.value);
  }
  void operator()(const Connect& connect) const {
    recorder.Note("told to connect epoch ", connect.epoch.number, ", ", connect.peers.size(),
                  " peers");
  }
  void operator()(const Preload&) const {}  // the edge's
  void operator()(const StepAsk&) const {}
  void operator()(const RecorderAsked&) const {}

  // Events.
  void operator()(const Told& told) const {
    std::visit([this](const auto& message) { (*this)(message); }, told.message);
  }
  void operator()(const ExpertsLoaded& event) const {
    Done("experts loaded", event.epoch, event.status);
  }
  void operator()(const ExchangeOpened& event) const {
    Done("exchange opened", event.epoch, event.status);
  }
  void operator()(const ExchangeDone& event) const {
    if (!event.status.ok()) Done("exchange", event.epoch, event.status);
  }
  void operator()(const LoadedAside& event) const {
    Done("loaded in the background", event.epoch, event.status);
  }
  void operator()(const ConnectedAside& event) const {
    Done("connected in the background", event.epoch, event.status);
  }
  void operator()(const LeaveWanted&) const { recorder.Note("asked to leave"); }

  // To the coordinator.
  void operator()(const Ready& ready) const {
    recorder.Note("says: epoch ", ready.epoch.number,
                  ready.ok ? " ready" : " not ready: ", ready.error, ", last step done ",
                  ready.last_step_done.value);
  }
  void operator()(const StepBroken& broken) const {
    recorder.Note("says: step ", broken.step.value, " of epoch ", broken.epoch.number,
                  " broke: ", broken.error);
  }
  void operator()(const Loaded& loaded) const {
    recorder.Note("says: epoch ", loaded.epoch.number,
                  loaded.ok ? " loaded" : " not loaded: ", loaded.error);
  }
  void operator()(const Connected& connected) const {
    recorder.Note("says: epoch ", connected.epoch.number,
                  connected.ok ? " connected" : " not connected: ", connected.error);
  }
  void operator()(const LeaveAsked&) const { recorder.Note("says: drain me"); }
  void operator()(const Hello&) const {}
  void operator()(const StepResult&) const {}
  void operator()(const Heartbeat&) const {}
  void operator()(const LoadProgress&) const {}
  void operator()(const RecorderTold&) const {}

  // Effects.
  void operator()(const Tell& tell) const {
    std::visit([this](const auto& message) { (*this)(message); }, tell.message);
  }
  void operator()(const LoadExperts& effect) const {
    recorder.Note("loads experts for epoch ", effect.epoch.number);
  }
  void operator()(const LoadAside& effect) const {
    recorder.Note("loads in the background for epoch ", effect.epoch.number);
  }
  void operator()(const ConnectAside& effect) const {
    recorder.Note("connects in the background for epoch ", effect.view.epoch.number);
  }
  void operator()(const SwitchToStagedExchange& effect) const {
    recorder.Note("changes over to epoch ", effect.epoch.number);
  }
  void operator()(const DropAside&) const { recorder.Note("drops what was made ready aside"); }
  void operator()(const TrimExperts&) const { recorder.Note("drops experts it no longer owns"); }
  void operator()(const OpenExchange& effect) const {
    recorder.Note("opens the exchange of epoch ", effect.view.epoch.number);
  }
  void operator()(const StartExchange&) const {}
  void operator()(const CloseExchange&) const { recorder.Note("closes its exchange"); }
  void operator()(const Exit& effect) const {
    recorder.Note(effect.failed ? "ends, failed: " : "ends: ", effect.reason);
  }
};

}  // namespace

namespace {

// The phases that took most of a step, most first.
struct Longest {
  explicit Longest(const StepResult& result) {
    for (const PhaseTime& time : result.phases) {
      PhaseTime one = time;
      for (PhaseTime& place : places) {
        if (one.micros > place.micros) std::swap(one, place);
      }
    }
  }
  static const char* Name(const PhaseTime& time) { return kPhaseNames[time.phase]; }
  std::array<PhaseTime, 3> places{};
};

}  // namespace

void WorkerRecord::Asked(const StepAsk& ask) {
  steps_[ask.step.value % steps_.size()] = {
      .step = ask.step, .asked = SteadyMicros(), .rows = ask.part.rows()};
}

void WorkerRecord::Done(const StepResult& result) {
  const Step& step = steps_[result.step.value % steps_.size()];
  if (step.step != result.step) return;
  const Micros began = std::max(step.asked, done_);  // a plan ahead waits for the one before it
  done_ = SteadyMicros();
  const auto& [most, second, third] = Longest(result).places;
  recorder_.NoteWork("step ", result.step.value, " of epoch ", result.epoch.number, ": ", step.rows,
                     " rows of its own, ", done_ - began, " us: ", Longest::Name(most), " ",
                     most.micros, ", ", Longest::Name(second), " ", second.micros, ", ",
                     Longest::Name(third), " ", third.micros);
}

void WorkerRecord::Heard(const WorkerEvent& event) {
  if (const auto* told = std::get_if<Told>(&event)) {
    if (const auto* ask = std::get_if<StepAsk>(&told->message)) return Asked(*ask);
  }
  std::visit(Describe{recorder_}, event);
}

void WorkerRecord::Did(const WorkerEffect& effect) {
  if (const auto* tell = std::get_if<Tell>(&effect)) {
    if (const auto* result = std::get_if<StepResult>(&tell->message)) return Done(*result);
  }
  std::visit(Describe{recorder_}, effect);
}

}  // namespace conclave
