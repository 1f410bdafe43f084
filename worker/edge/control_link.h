// The control plane's worker side: one stream to the coordinator, made again when it breaks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/ids.h"
#include "base/log.h"
#include "grpcpp/channel.h"
#include "protocol/control.h"

namespace conclave {

// Hears about the link. Called from gRPC's threads and the link's own; must not block.
class LinkListener {
 public:
  virtual ~LinkListener() = default;
  // A new stream, the `link`th: say Hello. What follows until OnLost is of this one.
  virtual void OnLinking(std::uint64_t link) = 0;
  virtual void OnMessage(ToWorker message) = 0;
  virtual void OnLost(const std::string& why) = 0;  // everything unsent is gone
};

class ControlLink {
 public:
  static constexpr Micros kAnswerLimit = 10'000'000;  // to a Hello; then the stream is given up
  static constexpr Micros kRetryFirst = 100'000;
  static constexpr Micros kRetryMost = 2'000'000;

  // `address` is for messages; empty: the coordinator is in this process, and the link is not made
  // again. The listener outlives the link.
  ControlLink(std::shared_ptr<grpc::Channel> channel, std::string address, LinkListener& listener,
              LogFn log);
  ~ControlLink();
  void Start();

  // Any thread. Sends on the `link`th stream only: a sender that was delayed may not know yet that
  // its stream has been replaced. False when that stream is gone, or so slow that the queue would
  // exceed its bound.
  bool Send(std::uint64_t link, const FromWorker& message);
  void Stop();  // no callback afterwards

 private:
  class Call;
  void Run();
  std::string Attend();
  bool Rest(Micros micros);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::string address_;
  LinkListener& listener_;
  const LogFn log_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::shared_ptr<Call> call_;  // the stream, while there is one
  std::uint64_t link_ = 0;      // its number, from 1
  std::thread thread_;
};

}  // namespace conclave
