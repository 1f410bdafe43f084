#include "coordinator/edge/coordinator_record.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "coordinator/edge/errors.h"

namespace conclave {
namespace {

static_assert(kPlansAheadMax < 4);

// One line per kind of message or event; what comes too often or says too little has none.
struct Describe {
  FlightRecorder& recorder;

  // From a worker.
  void Of(LinkId link, const Hello& hello) const {
    recorder.Note("link ", link.value, ": hello from ", hello.address, ", uuid ", hello.uuid,
                  ", was slot ", hello.last_slot, " of epoch ", hello.last_epoch.number);
  }
  void Of(LinkId link, const Ready& ready) const {
    recorder.Note("link ", link.value, ": epoch ", ready.epoch.number, ready.ok ? " ready" : " not ",
                  ready.error);
  }
  void Of(LinkId link, const StepBroken& broken) const {
    recorder.Note("link ", link.value, ": step ", broken.step.value, " of epoch ",
                  broken.epoch.number, " broke: ", broken.error);
  }
  void Of(LinkId link, const LeaveAsked&) const {
    recorder.Note("link ", link.value, ": asks to leave");
  }
  void Of(LinkId link, const Loaded& loaded) const {
    recorder.Note("link ", link.value, ": epoch ", loaded.epoch.number,
                  loaded.ok ? " loaded" : " not loaded: ", loaded.error);
  }
  void Of(LinkId link, const Connected& connected) const {
    recorder.Note("link ", link.value, ": epoch ", connected.epoch.number,
                  connected.ok ? " connected" : " not connected: ", connected.error);
  }
  void Of(LinkId, const StepResult&) const {}
  void Of(LinkId, const Heartbeat&) const {}
  void Of(LinkId, const LoadProgress&) const {}
  void Of(LinkId, const RecorderTold&) const {}

  // To a worker.
  void Of(LinkId link, const Welcome& welcome) const {
    recorder.Note("to link ", link.value, ": welcome as slot ", welcome.slot.value);
  }
  void Of(LinkId link, const Prepare& prepare) const {
    recorder.Note("to link ", link.value, ": prepare epoch ", prepare.epoch.number, ", ",
                  prepare.peers.size(), " peers");
  }
  void Of(LinkId link, const Commit& commit) const {
    recorder.Note("to link ", link.value, ": commit epoch ", commit.epoch.number, ", first step ",
                  commit.first_step.value);
  }
  void Of(LinkId link, const Goodbye& goodbye) const {
    recorder.Note("to link ", link.value, ": goodbye", goodbye.refused ? ", refused: " : ": ",
                  goodbye.reason);
  }
  void Of(LinkId link, const Load& load) const {
    recorder.Note("to link ", link.value, ": load epoch ", load.epoch.number);
  }
  void Of(LinkId link, const Connect& connect) const {
    recorder.Note("to link ", link.value, ": connect epoch ", connect.epoch.number, ", ",
                  connect.peers.size(), " peers");
  }
  void Of(LinkId link, const Preload& preload) const {
    recorder.Note("to link ", link.value,
                  preload.drop ? ": drop what was preloaded" : ": preload experts of a silent member");
  }
  void Of(LinkId, const StepAsk&) const {}
  void Of(LinkId, const RecorderAsked&) const {}

  // Events.
  void operator()(const ClientAsked& event) const {
    recorder.NoteWork("request ", event.request.value, " asked: id ", event.ask.id, ", ",
                      event.ask.prompt.size(), " tokens, after ", event.ask.resume_after);
  }
  void operator()(const ClientLeft& event) const {
    recorder.NoteWork("request ", event.request.value, ": the client left");
  }
  void operator()(const AbortAsked& event) const { recorder.NoteWork("abort of id ", event.id); }
  void operator()(const WorkerArrived& event) const {
    recorder.Note("link ", event.link.value, ": arrived");
  }
  void operator()(const WorkerSaid& event) const {
    std::visit([&](const auto& message) { Of(event.link, message); }, event.message);
  }
  void operator()(const WorkerGone& event) const {
    recorder.Note("link ", event.link.value, ": gone: ", event.reason);
  }
  void operator()(const Ticked&) const {}
  void operator()(const TextJudged& event) const {
    if (!event.stop) return;
    recorder.NoteWork("request ", event.request.value, ": a stop string ends it after ",
                      event.stop->completion_tokens, " tokens");
  }
  void operator()(const DrainAsked& event) const {
    recorder.Note("an operator asks to drain ", event.worker);
  }
  void operator()(const RebalanceAsked&) const { recorder.Note("an operator asks to rebalance"); }

  // Effects.
  void Ends(RequestId request, const Ending& ending) const {
    recorder.NoteWork("request ", request.value,
                      " ends: ", kEndNames[static_cast<std::size_t>(ending.end)], ", ",
                      ending.usage.completion_tokens, " tokens, ", ending.message);
  }
  void operator()(const TellText& effect) const {
    if (const auto* ending = std::get_if<TextEnding>(&effect.what)) {
      Ends(effect.request, ending->ending);
    } else if (const auto* change = std::get_if<TextStreamChange>(&effect.what)) {
      recorder.NoteWork("request ", effect.request.value, " is read by stream ",
                        change->stream.value);
    }
  }
  void operator()(const TellClient& effect) const {
    if (effect.part.ending) Ends(effect.request, *effect.part.ending);
  }
  void operator()(const TellWorker& effect) const {
    std::visit([&](const auto& message) { Of(effect.link, message); }, effect.message);
  }
  void operator()(const TellWorkers& effect) const {
    for (const LinkId link : effect.links) {
      std::visit([&](const auto& message) { Of(link, message); }, effect.message);
    }
  }
  void operator()(const DropLink& effect) const {
    recorder.Note("to link ", effect.link.value, ": dropped: ", effect.reason);
  }
  void operator()(const TellAdmin& effect) const {
    recorder.Note("to the operator: ", effect.text, effect.status.message());
  }
  void operator()(const LogLine&) const {}
};

}  // namespace

void CoordinatorRecord::Asked(const StepAsk& ask, Micros now) {
  Step& step = steps_[ask.step.value % steps_.size()];
  if (step.parts == 0 || step.step != ask.step || step.epoch != ask.epoch) {
    if (step.parts > step.results) {
      recorder_.NoteWork("step ", step.step.value, " of epoch ", step.epoch.number, ": ",
                         step.results, " of ", step.parts, " results");
    }
    step = {.epoch = ask.epoch, .step = ask.step, .asked = now, .rows = ask.rows_in_all()};
  }
  ++step.parts;
}

void CoordinatorRecord::Done(const StepResult& result, Micros now) {
  Step& step = steps_[result.step.value % steps_.size()];
  if (step.step != result.step || step.epoch != result.epoch) return;
  if (++step.results < step.parts) return;
  recorder_.NoteWork("step ", step.step.value, " of epoch ", step.epoch.number, ": ", step.rows,
                     " rows, ", step.parts, " workers, ", now - step.asked, " us");
}

void CoordinatorRecord::Heard(const CoordinatorEvent& event, Micros now) {
  if (const auto* said = std::get_if<WorkerSaid>(&event)) {
    if (const auto* result = std::get_if<StepResult>(&said->message)) return Done(*result, now);
  }
  std::visit(Describe{recorder_}, event);
}

void CoordinatorRecord::Decided(const CoordinatorEffect& effect, Micros now) {
  if (const auto* tell = std::get_if<TellWorker>(&effect)) {
    if (const auto* ask = std::get_if<StepAsk>(&tell->message)) return Asked(*ask, now);
  }
  std::visit(Describe{recorder_}, effect);
}

}  // namespace conclave
