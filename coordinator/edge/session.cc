#include "coordinator/edge/session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "coordinator/edge/errors.h"

namespace conclave {

void Session::Start(std::string expected_id, std::size_t bytes) {
  if (serving_.draining) return Refuse(Unavailable("this server is shutting down"));
  expected_id_ = std::move(expected_id);
  if (!expected_id_.empty()) serving_.switchboard->Expect(expected_id_, shared_from_this());
  if (!serving_.pool->Offer(bytes, [self = shared_from_this()] { self->Work(); })) {
    Refuse(Overloaded("too many requests are being tokenized"));
  }
}

void Session::Work() {
  TranslateAndAsk();
  serving_.switchboard->Forget(expected_id_, *this);
  // An Abort from before may have reached the strand before the ask; one from now on cannot.
  std::unique_lock lock(mutex_);
  const bool unheard = aborted_ && asked_;
  lock.unlock();
  if (unheard) TellLeft();
}

void Session::Abort() {
  std::lock_guard lock(mutex_);
  aborted_ = true;
}

void Session::Refuse(const grpc::Status& status) {
  serving_.switchboard->Forget(expected_id_, *this);  // first: whose call is over is not found
  if (!finished_.exchange(true)) call_.Finish(status);
}

void Session::TranslateAndAsk() {
  if (gone_) return Refuse(grpc::Status(grpc::StatusCode::CANCELLED, "the client left"));
  ClientAsk ask;
  const std::optional<FieldError> bad = call_.Translate(ask);
  id_ = ask.id;
  std::unique_lock lock(mutex_);
  const bool aborted = aborted_;
  lock.unlock();
  if (aborted) {
    serving_.switchboard->Forget(expected_id_, *this);
    StreamPart last;
    last.ending.emplace().end = End::kCancelled;
    return Deliver(last);
  }
  if (bad) return Refuse(StatusOf(*bad));
  ask.fallback_seed = ask.id.empty() ? serving_.dice.Roll() : SeedOf(ask.id);
  if (ask.id.empty()) ask.id = absl::StrCat("r-", absl::Hex(serving_.dice.Roll()));
  ask.deadline = call_.Deadline();
  id_ = ask.id;
  stream_ = serving_.switchboard->AddClient(id_, shared_from_this(), SteadyMicros());
  if (!serving_.strand->Post(ClientAsked{.now = 0, .request = stream_, .ask = std::move(ask)})) {
    serving_.switchboard->RemoveClient(stream_);
    return Refuse(Overloaded("too many requests at once"));
  }
  // Only from here on may Leave tell the strand: the ask must come before the leave.
  lock.lock();
  asked_ = true;
  lock.unlock();
  if (gone_) TellLeft();
}

void Session::TellLeft() {
  serving_.strand->Post(ClientLeft{.now = 0, .request = stream_});
}

void Session::Deliver(StreamPart& part) {
  if (ended_) return;
  ended_ = part.ending.has_value();
  if (gone_ && !ended_) return;
  // What is pending is sent first, unless nobody reads it.
  if ((pending_.empty() || gone_) && MaySend()) return Send(part);
  pending_.Add(std::move(part));
}

void Session::Pump() {
  if (pending_.empty() || !MaySend()) return;
  StreamPart part = pending_.Take();
  Send(part);
}

// Whether nothing is being sent. Else Written will call for the pump.
bool Session::MaySend() {
  Sending sending = Sending::kMessage;
  return !sending_.compare_exchange_strong(sending, Sending::kMessageAndMoreWaits) &&
         sending == Sending::kNothing;
}

// The next message, or the finish. Nothing is being sent.
void Session::Send(StreamPart& part) {
  if (finished_) return;
  if (gone_) {
    // Only the ending is of use, which is the last to be pending.
    if (!ended_ || finished_.exchange(true)) return;
    return call_.Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client left"));
  }
  if (part.ending.has_value()) {
    if (!finished_.exchange(true)) call_.End(part, id_);
    return;
  }
  sending_ = pending_.empty() ? Sending::kMessage : Sending::kMessageAndMoreWaits;
  call_.Write(part, id_);
}

void Session::Written(bool ok) {
  if (!ok) Leave();
  const Sending before = sending_.exchange(Sending::kNothing);
  if (before != Sending::kMessageAndMoreWaits) return;
  serving_.switchboard->Pump(stream_, shared_from_this());
}

void Session::Leave() {
  if (gone_.exchange(true)) return;
  std::unique_lock lock(mutex_);
  const bool asked = asked_;
  lock.unlock();
  if (asked) TellLeft();
}

}  // namespace conclave
