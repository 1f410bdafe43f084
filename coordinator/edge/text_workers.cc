#include "coordinator/edge/text_workers.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/hash.h"

namespace conclave {

class TextWorkers::Worker final : private TextSink {
 public:
  explicit Worker(const Args& args) : args_(args), stages_(args.text, *this) {
    thread_ = std::thread([this] { Run(); });
  }

  // Takes the items; leaves an empty vector, whose memory may be another's of before.
  void Post(std::vector<Item>& items) {
    bool was_empty = false;
    {
      std::lock_guard lock(mutex_);
      was_empty = queue_.empty();
      if (was_empty) {
        queue_.swap(items);
      } else {
        std::ranges::move(items, std::back_inserter(queue_));
      }
    }
    items.clear();
    if (was_empty) wake_.notify_one();
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Reader {
    std::shared_ptr<ClientStream> stream;
    Micros asked_at = 0;
    Micros last_token_at = 0;  // 0: none yet
  };

  void Run() {
    std::vector<Item> batch;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        batch.swap(queue_);
      }
      for (Item& item : batch) {
        std::visit([this](auto& work) { Do(work); }, item);
      }
      batch.clear();
    }
  }

  void Do(Order& order) {
    now_ = order.now;
    if (const auto* begin = std::get_if<TextBegin>(&order.order.what)) {
      Enter(begin->stream, order.entry);
    } else if (const auto* change = std::get_if<TextStreamChange>(&order.order.what)) {
      Enter(change->stream, order.entry);
    }
    stages_.Take(order.order);
  }

  void Do(Part& part) {
    now_ = part.now;
    Enter(part.tell.request, part.entry);
    Deliver(part.tell.request, part.tell.part);
  }

  void Do(Left& left) {
    now_ = left.now;
    StreamPart last;
    last.ending.emplace().end = End::kCancelled;
    Deliver(left.stream, last);
  }

  void Do(PumpAsked& pump) { pump.at->Pump(); }

  void Do(EndAsked& end) {
    readers_.erase(end.stream.value);
    StreamPart last;
    last.ending = std::move(end.ending);
    end.at->Deliver(last);
  }

  void Enter(RequestId stream, StreamEntry& entry) {
    if (entry.stream == nullptr) return;
    readers_.emplace(stream.value, Reader{std::move(entry.stream), entry.asked_at, 0});
  }

  void Deliver(RequestId stream, StreamPart& part) override {
    const auto found = readers_.find(stream.value);
    if (found == readers_.end()) return;  // its client has left, or it was ended at shutdown
    Reader& reader = found->second;
    args_.metrics.Count(
        part, {.asked_at = reader.asked_at, .last_token_at = reader.last_token_at, .now = now_});
    if (!part.ending.has_value()) {
      if (!part.ids.empty()) reader.last_token_at = now_;
      reader.stream->Deliver(part);
      return;
    }
    const std::shared_ptr<ClientStream> last = std::move(reader.stream);
    readers_.erase(found);
    args_.ended(stream);
    last->Deliver(part);
  }

  void Judge(RequestId request, std::optional<StopFound> stop) override {
    args_.judged({.now = 0, .request = request, .stop = std::move(stop)});
  }

  const Args& args_;
  TextStages stages_;
  absl::flat_hash_map<std::uint64_t, Reader> readers_;  // by stream
  Micros now_ = 0;  // when the core decided what is being done

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

TextWorkers::TextWorkers(Args args) : args_(std::move(args)) {
  added_.resize(static_cast<std::size_t>(std::max(1, args_.threads)));
  for (std::size_t i = 0; i < added_.size(); ++i) {
    workers_.push_back(std::make_unique<Worker>(args_));
  }
}

TextWorkers::~TextWorkers() { Stop(); }

RequestId TextWorkers::NumberOf(std::uint64_t count, std::string_view id) const {
  constexpr std::uint64_t kPurpose = 0x7e87;
  return RequestId{count * workers_.size() + HashBytes(id, kPurpose) % workers_.size()};
}

void TextWorkers::Add(TellText order, StreamEntry entry, Micros now) {
  added_[At(order.request)].push_back(Order{std::move(order), std::move(entry), now});
}

void TextWorkers::Add(TellClient tell, StreamEntry entry, Micros now) {
  added_[At(tell.request)].push_back(Part{std::move(tell), std::move(entry), now});
}

void TextWorkers::AddLeft(RequestId stream, Micros now) {
  added_[At(stream)].push_back(Left{stream, now});
}

void TextWorkers::Flush() {
  for (std::size_t i = 0; i < added_.size(); ++i) {
    if (!added_[i].empty()) workers_[i]->Post(added_[i]);
  }
}

void TextWorkers::Post(RequestId number, Item item) {
  std::vector<Item> items;
  items.push_back(std::move(item));
  workers_[At(number)]->Post(items);
}

void TextWorkers::Pump(RequestId stream, std::shared_ptr<ClientStream> at) {
  Post(stream, PumpAsked{std::move(at)});
}

void TextWorkers::End(RequestId stream, std::shared_ptr<ClientStream> at, Ending ending) {
  Post(stream, EndAsked{stream, std::move(at), std::move(ending)});
}

void TextWorkers::Stop() {
  for (const auto& worker : workers_) worker->Stop();
}

}  // namespace conclave
