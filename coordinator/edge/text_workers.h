// The threads that make text and messages: each runs the text stages of some requests and speaks to
// the streams that read them. The core's strand only queues orders; it decodes, encodes and sends
// nothing.
//
// A request, and every stream that reads it or asks for it, belongs to one worker, which its number
// names (NumberOf). So whatever a stream is told comes from one thread, in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "coordinator/events.h"
#include "coordinator/edge/client_stream.h"
#include "coordinator/edge/metrics.h"
#include "coordinator/streams/text_stage.h"

namespace conclave {

// A client's stream, when it begins to be served.
struct StreamEntry {
  std::shared_ptr<ClientStream> stream;  // null: nobody reads it any more
  Micros asked_at = 0;
};

class TextWorkers {
 public:
  struct Args {
    int threads = 1;
    const Text* text = nullptr;  // null: token ids only
    Metrics& metrics;
    // On a worker's thread: just before the stream is told its ending.
    std::function<void(RequestId stream)> ended;
    // On a worker's thread: what a stage found, for the core.
    std::function<void(TextJudged)> judged;
  };
  explicit TextWorkers(Args args);
  ~TextWorkers();  // Stop

  // The number of the `count`th stream, which asks under the name `id`: all streams of one name
  // belong to one worker.
  RequestId NumberOf(std::uint64_t count, std::string_view id) const;

  // On the strand. Orders are kept until Flush, which gives each worker all of its own at once.
  // `entry`: of the stream that the order names, if it names one.
  void Add(TellText order, StreamEntry entry, Micros now);
  void Add(TellClient tell, StreamEntry entry, Micros now);
  void AddLeft(RequestId stream, Micros now);  // nobody reads it any more: it ends, if it has not
  void Flush();

  // Any thread.
  void Pump(RequestId stream, std::shared_ptr<ClientStream> at);
  void End(RequestId stream, std::shared_ptr<ClientStream> at, Ending ending);

  // What was queued is done first. Nothing may be added afterwards.
  void Stop();

 private:
  struct Order {
    TellText order;
    StreamEntry entry;
    Micros now;
  };
  struct Part {  // for a stream that reads no request
    TellClient tell;
    StreamEntry entry;
    Micros now;
  };
  struct Left {
    RequestId stream;
    Micros now;
  };
  struct PumpAsked {
    std::shared_ptr<ClientStream> at;
  };
  struct EndAsked {
    RequestId stream;
    std::shared_ptr<ClientStream> at;
    Ending ending;
  };
  using Item = std::variant<Order, Part, Left, PumpAsked, EndAsked>;
  class Worker;

  std::size_t At(RequestId number) const { return number.value % workers_.size(); }
  void Post(RequestId number, Item item);

  const Args args_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::vector<Item>> added_;  // the strand's, by worker
};

}  // namespace conclave
