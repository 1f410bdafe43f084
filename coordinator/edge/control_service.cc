#include "coordinator/edge/control_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "protocol/codec.h"

namespace conclave {

ControlReactor::ControlReactor(Serving& serving, grpc::CallbackServerContext& context)
    : serving_(serving), context_(context) {}

ControlReactor* ControlReactor::Start(Serving& serving, grpc::CallbackServerContext& context) {
  std::shared_ptr<ControlReactor> reactor(new ControlReactor(serving, context));
  ControlReactor* const raw = reactor.get();
  raw->self_ = reactor;
  {
    // From AddWorker on, DropWorkers finds it: it must not be gone before it has a link and
    // arrived.
    std::lock_guard lock(raw->mutex_);
    raw->link_ = serving.switchboard->AddWorker(std::move(reactor));
    serving.strand->Post(WorkerArrived{.now = 0, .link = raw->link_});
  }
  raw->ReadNext();
  return raw;
}

// Appends the arrived piece; posts the message when it is whole. False: the peer broke the rules.
bool ControlReactor::TakeMessage(std::string& error) {
  if (partial_.size() + incoming_.message().size() > kControlBytesMax) {
    error = absl::StrCat("a control message of more than ", kControlBytesMax, " bytes");
    return false;
  }
  partial_ += incoming_.message();
  if (incoming_.more()) return true;
  auto message = DecodeFromWorker(partial_);
  partial_.clear();
  if (!message.ok()) {
    error = std::string(message.status().message());
    return false;
  }
  if (auto* told = std::get_if<RecorderTold>(&*message)) {  // for people, not for the core
    serving_.desk->Told(link_, std::move(*told));
    return true;
  }
  {
    std::lock_guard lock(mutex_);
    ++unhandled_;
  }
  serving_.strand->Post(WorkerSaid{.now = 0, .link = link_, .message = *std::move(message)});
  return true;
}

void ControlReactor::OnReadDone(bool ok) {
  if (!ok) return Gone("the worker closed its control stream");
  std::string error;
  if (!TakeMessage(error)) return Gone(error);
  ReadNext();
}

void ControlReactor::ReadNext() {
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    reading_paused_ = unhandled_ >= kUnhandledMax;  // Handled() goes on
    if (reading_paused_) return;
    ++starting_reads_;
  }
  StartRead(&incoming_);
  std::unique_lock lock(mutex_);
  --starting_reads_;
  MaybeFinish(std::move(lock));
}

void ControlReactor::Handled() {
  {
    std::lock_guard lock(mutex_);
    --unhandled_;
    if (!reading_paused_) return;
  }
  ReadNext();
}

void ControlReactor::Send(std::string bytes) {
  std::unique_lock lock(mutex_);
  if (ending_ || dropping_) return;
  queue_bytes_ += bytes.size();
  queue_.push_back(std::move(bytes));
  if (queue_bytes_ > kQueueBytesMax) {
    lock.unlock();
    return Gone("the worker does not read its control stream");
  }
  Pump(std::move(lock));
}

void ControlReactor::Drop(const std::string& reason) {
  std::unique_lock lock(mutex_);
  dropping_ = true;
  reason_ = reason;
  Pump(std::move(lock));
}

void ControlReactor::Pump(std::unique_lock<std::mutex> lock) {
  if (writing_ || ending_) return;
  if (queue_.empty()) {
    if (!dropping_) return;
    const std::string reason = reason_;
    lock.unlock();
    return Gone(reason);
  }
  writing_ = true;
  outgoing_.set_message(std::move(queue_.front()));
  queue_.pop_front();
  queue_bytes_ -= outgoing_.message().size();
  lock.unlock();
  StartWrite(&outgoing_);
}

void ControlReactor::OnWriteDone(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  if (ending_) return MaybeFinish(std::move(lock));
  if (ok) return Pump(std::move(lock));
  lock.unlock();
  Gone("the worker's control stream broke");
}

void ControlReactor::OnCancel() { Gone("the worker's control stream was cancelled"); }

void ControlReactor::Gone(const std::string& reason) {
  bool stuck = false;
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    ending_ = true;
    reason_ = reason;
    queue_.clear();
    stuck = writing_;
  }
  if (stuck) context_.TryCancel();  // the write in flight ends with an error then
  serving_.strand->Post(WorkerGone{.now = 0, .link = link_, .reason = reason});
  MaybeFinish(std::unique_lock(mutex_));
}

void ControlReactor::MaybeFinish(std::unique_lock<std::mutex> lock) {
  if (!ending_ || finished_ || writing_ || starting_reads_ > 0) return;
  finished_ = true;
  const grpc::Status status(grpc::StatusCode::ABORTED, reason_);
  lock.unlock();
  Finish(status);
}

void ControlReactor::OnDone() { self_.reset(); }

}  // namespace conclave
