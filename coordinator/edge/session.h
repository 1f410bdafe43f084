// One client's request on one stream, whatever protocol carries it: it is translated on the pool,
// asked of the core, aborted, abandoned, delivered, and ended once. The protocol's side is a
// ClientCall.
//
// At most one message is being sent; what comes meanwhile is joined (part_queue.h), so a slow reader
// costs bounded memory and nobody else's time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "coordinator/edge/client_stream.h"
#include "coordinator/edge/part_queue.h"
#include "coordinator/edge/serving.h"
#include "coordinator/edge/translate.h"
#include "grpcpp/support/status.h"

namespace conclave {

// What a protocol does for a session. It lives until Finish or End was called, and the session calls
// nothing afterwards.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
  // What the client wants. On the pool, once.
  virtual std::optional<FieldError> Translate(ClientAsk& ask) = 0;
  virtual std::optional<Micros> Deadline() const = 0;  // on the events' clock
  // Sends one message; Session::Written says when the next may follow.
  virtual void Write(const StreamPart& part, const std::string& request_id) = 0;
  // Sends the last message, which has an ending, and finishes.
  virtual void End(StreamPart& part, const std::string& request_id) = 0;
  // Finishes with no message more.
  virtual void Finish(const grpc::Status& status) = 0;
};

class Session final : public ClientStream, public std::enable_shared_from_this<Session> {
 public:
  Session(Serving& serving, ClientCall& call) : serving_(serving), call_(call) {}

  // Begins. `expected_id`: by which Abort finds the request before the core has it; may be empty.
  // `bytes`: memory that waits until the request is translated.
  void Start(std::string expected_id, std::size_t bytes);
  void Written(bool ok);  // the message was taken, or never will be; any thread
  void Leave();           // nobody reads any more; any thread

  void Deliver(StreamPart& part) override;
  void Pump() override;
  void Abort() override;

 private:
  enum class Sending : std::uint8_t { kNothing, kMessage, kMessageAndMoreWaits };

  void Work();  // on the pool
  void TranslateAndAsk();
  void Refuse(const grpc::Status& status);
  bool MaySend();
  void Send(StreamPart& part);
  void TellLeft();

  Serving& serving_;
  ClientCall& call_;
  std::string expected_id_;
  // These two are set before the core is asked.
  std::string id_;
  RequestId stream_;

  // Of the thread that has the session: the pool's until the core is asked, then its text worker's.
  PartQueue pending_;
  bool ended_ = false;  // the part with the ending has been delivered

  std::atomic<Sending> sending_ = Sending::kNothing;
  std::atomic<bool> gone_ = false;      // nobody reads any more
  std::atomic<bool> finished_ = false;  // Finish or End has been called

  std::mutex mutex_;      // the two below; never held while anybody is called
  bool asked_ = false;    // the core has the ask, or will have it before anything that is said now
  bool aborted_ = false;  // while it was expected
};

}  // namespace conclave
