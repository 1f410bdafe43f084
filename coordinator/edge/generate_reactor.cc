#include "coordinator/edge/generate_reactor.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "coordinator/edge/byte_message.h"
#include "coordinator/edge/errors.h"

namespace conclave {
namespace {

// The call's deadline on the events' clock, if it has one.
std::optional<Micros> DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return std::nullopt;
  const auto left = deadline - std::chrono::system_clock::now();
  constexpr auto kFar = std::chrono::hours(24 * 365);
  if (left > kFar) return std::nullopt;
  return SteadyMicros() + std::chrono::duration_cast<std::chrono::microseconds>(left).count();
}

}  // namespace

GenerateReactor::GenerateReactor(Serving& serving, grpc::CallbackServerContext& context)
    : serving_(serving), context_(context) {}

GenerateReactor* GenerateReactor::Start(Serving& serving, grpc::CallbackServerContext& context,
                                        const grpc::ByteBuffer& request) {
  std::shared_ptr<GenerateReactor> reactor(new GenerateReactor(serving, context));
  GenerateReactor* const raw = reactor.get();
  reactor->self_ = std::move(reactor);
  if (serving.draining) {
    raw->Refuse(Unavailable("this server is shutting down"));
    return raw;
  }
  raw->expected_id_ = PeekRequestId(request);
  if (!raw->expected_id_.empty()) serving.switchboard->Expect(raw->expected_id_, raw->self_);
  if (!serving.pool->Offer(request.Length(), [raw, &request] { raw->Work(request); })) {
    raw->Refuse(Overloaded("too many requests are being tokenized"));
  }
  return raw;
}

void GenerateReactor::Work(const grpc::ByteBuffer& request) {
  const std::shared_ptr<GenerateReactor> keep = self_;  // the call may be over before we are
  TranslateAndAsk(request);
  serving_.switchboard->Forget(expected_id_, *this);
  // An Abort from before may have reached the strand before the ask; one from now on cannot.
  std::unique_lock lock(mutex_);
  const bool unheard = aborted_ && stage_ == Stage::kAsked && !ended_;
  lock.unlock();
  if (unheard) TellLeft();
}

void GenerateReactor::Abort() {
  std::lock_guard lock(mutex_);
  aborted_ = true;
}

void GenerateReactor::Refuse(const grpc::Status& status) {
  serving_.switchboard->Forget(expected_id_, *this);  // first: whose call is over is not found
  {
    std::lock_guard lock(mutex_);
    if (stage_ == Stage::kFinished) return;
    stage_ = Stage::kFinished;
  }
  Finish(status);
}

void GenerateReactor::TranslateAndAsk(const grpc::ByteBuffer& request) {
  {
    std::unique_lock lock(mutex_);
    if (gone_) {
      lock.unlock();
      return Refuse(grpc::Status(grpc::StatusCode::CANCELLED, "the client left"));
    }
  }
  v1::GenerateRequest message;
  ClientAsk ask;
  std::optional<FieldError> bad = Parse(request, message);
  if (!bad) bad = Translate(message, serving_.text, ask);
  id_ = ask.id;
  prompt_ = message.prompt_case();
  {
    std::unique_lock lock(mutex_);
    if (aborted_) {
      lock.unlock();
      serving_.switchboard->Forget(expected_id_, *this);
      StreamPart last;
      last.ending.emplace().end = End::kCancelled;
      return Deliver(std::move(last));
    }
  }
  if (bad) return Refuse(StatusOf(*bad));
  ask.fallback_seed = ask.id.empty() ? serving_.dice.Roll() : SeedOf(ask.id);
  if (ask.id.empty()) ask.id = absl::StrCat("r-", absl::Hex(serving_.dice.Roll()));
  ask.deadline = DeadlineOf(context_);
  id_ = ask.id;

  const RequestId number = serving_.switchboard->AddClient(ask.id, self_, SteadyMicros());
  {
    std::lock_guard lock(mutex_);
    request_ = number;
  }
  if (!serving_.strand->Post(ClientAsked{.now = 0, .request = number, .ask = std::move(ask)})) {
    serving_.switchboard->RemoveClient(number);
    return Refuse(Overloaded("too many requests at once"));
  }
  // Only from here on may OnCancel tell the strand: the ask must come before the leave.
  std::unique_lock lock(mutex_);
  if (stage_ == Stage::kTranslating) stage_ = Stage::kAsked;
  const bool left = gone_ && !ended_;
  lock.unlock();
  if (left) TellLeft();
}

void GenerateReactor::TellLeft() {
  serving_.strand->Post(ClientLeft{.now = 0, .request = request_});
}

void GenerateReactor::Deliver(StreamPart part) {
  std::unique_lock lock(mutex_);
  if (ended_) return;
  ended_ = part.ending.has_value();
  if (!gone_ || ended_) pending_.Add(std::move(part));
  Pump(std::move(lock));
}

// Starts the next write, or the finish, when nothing is in flight.
void GenerateReactor::Pump(std::unique_lock<std::mutex> lock) {
  if (writing_ || stage_ == Stage::kFinished) return;
  if (gone_) {
    if (!ended_) return;  // the strand will say so in a moment
    stage_ = Stage::kFinished;
    lock.unlock();
    return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client left"));
  }
  if (pending_.empty()) return;
  StreamPart part = pending_.Take();
  const bool last = part.ending.has_value();
  if (last) part.ending->field = ClientField(std::move(part.ending->field), prompt_);
  const grpc::Status status = last ? StatusOf(*part.ending) : grpc::Status::OK;
  const bool empty = part.ids.empty() && part.text.empty() && part.prompt_logprobs.empty();
  if (last && !status.ok() && empty) {
    stage_ = Stage::kFinished;
    lock.unlock();
    return Finish(status);
  }
  writing_ = !last;
  if (last) stage_ = Stage::kFinished;
  outgoing_ = ToBytes(ToProto(part, id_, serving_.facts));
  lock.unlock();
  if (last) {
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), status);
  } else {
    StartWrite(&outgoing_);
  }
}

void GenerateReactor::OnWriteDone(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  if (ok || gone_) return Pump(std::move(lock));
  gone_ = true;
  const bool asked = stage_ == Stage::kAsked && !ended_;
  lock.unlock();
  if (asked) TellLeft();
  Pump(std::unique_lock(mutex_));
}

void GenerateReactor::OnCancel() {
  std::unique_lock lock(mutex_);
  if (gone_ || stage_ == Stage::kFinished) return;
  gone_ = true;
  const bool asked = stage_ == Stage::kAsked && !ended_;
  lock.unlock();
  if (asked) TellLeft();
  Pump(std::unique_lock(mutex_));
}

void GenerateReactor::OnDone() { self_.reset(); }

}  // namespace conclave
