#include "worker/edge/control_link.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/limits.h"
#include "conclave/cluster/v1/control_service.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "protocol/codec.h"
#include "worker/edge/threads.h"

namespace conclave {
namespace {

using cluster::v1::AttendRequest;
using cluster::v1::AttendResponse;

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;  // below the server's limit on a message
constexpr std::size_t kQueueBytesMax = 2 * kControlBytesMax;

}  // namespace

// One stream. Made and waited for by the link's thread.
class ControlLink::Call final : public grpc::ClientBidiReactor<AttendRequest, AttendResponse> {
 public:
  Call(grpc::Channel& channel, LinkListener& listener)
      : listener_(listener),
        stub_(cluster::v1::ControlService::NewStub(
            std::shared_ptr<grpc::Channel>(&channel, [](grpc::Channel*) {}))) {
    stub_->async()->Attend(&context_, this);
    AddHold();  // given back when the stream is over: until then any thread may start a write
    StartRead(&incoming_);
    StartCall();
  }

  bool Send(std::string bytes);
  void Cancel() { context_.TryCancel(); }
  // Why the stream ended. `limit`: how long the first message may take.
  std::string Await(Micros limit);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  void Pump(std::unique_lock<std::mutex> lock);
  void Over(std::unique_lock<std::mutex> lock);

  LinkListener& listener_;
  const std::unique_ptr<cluster::v1::ControlService::Stub> stub_;
  grpc::ClientContext context_;
  AttendResponse incoming_;  // of the read in flight
  AttendRequest outgoing_;   // of the write in flight

  std::mutex mutex_;  // the members below; never held while gRPC or the listener is called
  std::condition_variable wake_;
  std::deque<AttendRequest> queue_;
  std::size_t queue_bytes_ = 0;
  bool writing_ = false;
  bool over_ = false;
  bool released_ = false;
  bool answered_ = false;
  bool done_ = false;
  std::string broken_rule_;
  grpc::Status status_;
};

bool ControlLink::Call::Send(std::string bytes) {
  std::unique_lock lock(mutex_);
  if (over_ || queue_bytes_ + bytes.size() > kQueueBytesMax) return false;
  queue_bytes_ += bytes.size();
  for (std::size_t at = 0; at == 0 || at < bytes.size(); at += kPieceBytes) {
    const bool more = at + kPieceBytes < bytes.size();
    AttendRequest& piece = queue_.emplace_back();
    piece.set_message(at == 0 && !more ? std::move(bytes) : bytes.substr(at, kPieceBytes));
    piece.set_more(more);
    if (!more) break;
  }
  Pump(std::move(lock));
  return true;
}

void ControlLink::Call::Pump(std::unique_lock<std::mutex> lock) {
  if (writing_ || over_ || queue_.empty()) return;
  writing_ = true;
  outgoing_ = std::move(queue_.front());
  queue_.pop_front();
  queue_bytes_ -= outgoing_.message().size();
  lock.unlock();
  StartWrite(&outgoing_);
}

// The stream will carry nothing more: the hold is given back once no write is being started.
void ControlLink::Call::Over(std::unique_lock<std::mutex> lock) {
  over_ = true;
  if (writing_ || std::exchange(released_, true)) return;
  lock.unlock();
  RemoveHold();
}

void ControlLink::Call::OnReadDone(bool ok) {
  if (ok) {
    auto message = DecodeToWorker(incoming_.message());
    {
      std::lock_guard lock(mutex_);
      answered_ = true;
      if (!message.ok()) broken_rule_ = std::string(message.status().message());
    }
    wake_.notify_all();
    if (message.ok()) {
      listener_.OnMessage(*std::move(message));
      StartRead(&incoming_);
      return;
    }
    Cancel();
  }
  Over(std::unique_lock(mutex_));
}

void ControlLink::Call::OnWriteDone(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  if (!ok || over_) return Over(std::move(lock));
  Pump(std::move(lock));
}

void ControlLink::Call::OnDone(const grpc::Status& status) {
  // Notified under the lock: the waiter destroys this object.
  std::lock_guard lock(mutex_);
  done_ = true;
  status_ = status;
  wake_.notify_all();
}

std::string ControlLink::Call::Await(Micros limit) {
  std::unique_lock lock(mutex_);
  const auto heard = [this] { return done_ || answered_; };
  const bool silent = !wake_.wait_for(lock, std::chrono::microseconds(limit), heard);
  if (silent) {
    lock.unlock();
    Cancel();
    lock.lock();
  }
  wake_.wait(lock, [this] { return done_; });
  if (silent) return absl::StrCat("no answer within ", limit / 1'000'000, " s");
  if (!broken_rule_.empty()) return broken_rule_;
  return status_.error_message().empty() ? "the stream was closed" : status_.error_message();
}

ControlLink::ControlLink(std::shared_ptr<grpc::Channel> channel, std::string address,
                         LinkListener& listener, LogFn log)
    : channel_(std::move(channel)),
      address_(std::move(address)),
      listener_(listener),
      log_(std::move(log)) {}

void ControlLink::Start() {
  thread_ = std::thread([this] { Run(); });
}

ControlLink::~ControlLink() { Stop(); }

void ControlLink::Stop() {
  std::shared_ptr<Call> call;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    call = call_;
  }
  wake_.notify_all();
  if (call != nullptr) call->Cancel();
  call.reset();
  if (thread_.joinable()) thread_.join();
}

bool ControlLink::Send(std::uint64_t link, const FromWorker& message) {
  std::shared_ptr<Call> call;
  {
    std::lock_guard lock(mutex_);
    if (link != link_) return false;
    call = call_;
  }
  return call != nullptr && call->Send(Encode(message));
}

// One stream, from beginning to end; says why it ended.
std::string ControlLink::Attend() {
  auto call = std::make_shared<Call>(*channel_, listener_);
  bool stopping = false;
  std::uint64_t link = 0;
  {
    std::lock_guard lock(mutex_);
    call_ = call;
    link = ++link_;
    stopping = stopping_;
  }
  if (stopping) {
    call->Cancel();
  } else {
    listener_.OnLinking(link);
  }
  std::string why = call->Await(kAnswerLimit);
  std::lock_guard lock(mutex_);
  call_.reset();
  return why;
}

bool ControlLink::Rest(Micros micros) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, std::chrono::microseconds(micros), [this] { return stopping_; });
}

void ControlLink::Run() {
  NameThisThread("link");
  constexpr Micros kSayAgain = 10'000'000;
  Micros delay = kRetryFirst;
  Micros said_at = 0;
  do {
    const Micros began = SteadyMicros();
    const std::string why = Attend();
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    listener_.OnLost(why);
    if (address_.empty()) return;
    const Micros now = SteadyMicros();
    if (now - began > kRetryMost) delay = kRetryFirst;  // it had worked for a while
    if (said_at == 0 || now - said_at > kSayAgain) {
      log_(LogLevel::kWarning,
           absl::StrCat("no link to the coordinator at ", address_, ": ", why, "; trying again"));
      said_at = now;
    }
    if (!Rest(delay)) return;
    delay = std::min(delay * 2, kRetryMost);
  } while (true);
}

}  // namespace conclave
