// A cluster in one place: the core, its text stages, fake workers, clients that check what they
// read. Messages are delivered when the test says so, and text is made at once or when the test says
// so.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core.h"
#include "coordinator/streams/text_stage.h"
#include "sim/fake_worker.h"
#include "text/toy_text.h"

namespace conclave {

struct Client {
  ClientAsk ask;
  std::vector<TokenId> ids;
  std::string text;
  std::vector<std::size_t> text_ends;  // by token, when each came in a part of its own
  std::vector<TokenLogprob> logprobs, prompt_logprobs;
  std::vector<std::uint16_t> routed;
  std::optional<Ending> ending;
  int parts = 0;
  bool left = false;  // reads no more; anything but one last part is ignored
};

// Serves once so many workers are there; all else as by default.
inline CoordinatorConfig ClusterOf(int workers) {
  CoordinatorConfig config;
  config.workers_wanted = workers;
  return config;
}

struct WorkerShape {
  Role role = Role::kWorker;
  std::int32_t kv_blocks = 64;
  std::int32_t rows_max = 64;
  std::int32_t arrivals_max = 4096;
};

class World : private TextSink {
 public:
  explicit World(const CoordinatorConfig& config, std::vector<TokenId> eos = {});

  // ---- workers
  static Hello HelloOf(const std::string& uuid, const WorkerShape& shape);
  LinkId Join(const WorkerShape& shape);  // arrives and says Hello
  LinkId JoinAs(const Hello& hello);
  void Kill(LinkId link);
  FakeWorker* WorkerAt(LinkId link);  // null: gone
  std::vector<LinkId> Links() const;
  void Deliver(LinkId link);  // its oldest message
  // Until no worker has anything to run or to say.
  void Settle();

  // ---- clients
  RequestId Ask(ClientAsk ask);
  Client& At(RequestId id) { return clients_.at(id); }
  void Leave(RequestId id);
  void Abort(const std::string& name);

  // ---- text
  // From now on orders for text stages, and their verdicts, wait for the functions below.
  void HoldText() { text_held_ = true; }
  bool WorkText();       // does the oldest order; false when there is none
  bool DeliverVerdict();  // tells the core the oldest verdict; false when there is none
  void ReleaseText();    // all of them, and from now on at once
  std::size_t verdicts() const { return verdicts_.size(); }

  void Pass(Micros micros);  // time goes by; workers' hearts beat; a tick
  void PassFor(const std::vector<LinkId>& alive, Micros micros);  // the others are silent
  void Tick();
  void Say(LinkId link, FromWorker message);
  // What the operator is told.
  absl::Status Drain(const std::string& worker);
  absl::Status Rebalance();

  // Called after every event, once its effects have been carried out.
  void AfterEvents(std::function<void(const CoordinatorEvent&)> then) { then_ = std::move(then); }

  CoordinatorCore& core() { return *core_; }
  Micros now() const { return now_; }
  const std::vector<std::string>& logs() const { return logs_; }
  const std::map<LinkId, std::string>& dropped() const { return dropped_; }
  const std::map<RequestId, Client>& clients() const { return clients_; }
  // Nobody complained; every client has exactly what the oracle says.
  void ExpectExact();
  void ExpectExact(const Client& client);
  bool Complained() const;

 private:
  void Handle(const CoordinatorEvent& event);
  void HandleOnly(const CoordinatorEvent& event);
  void Carry(CoordinatorEffect& effect);
  void Read(RequestId id, const StreamPart& part);
  void Deliver(RequestId stream, StreamPart& part) override { Read(stream, part); }
  void Judge(RequestId request, std::optional<StopFound> stop) override;

  std::function<void(const CoordinatorEvent&)> then_;
  CoordinatorConfig config_;
  std::vector<TokenId> eos_;
  std::unique_ptr<Text> text_;
  std::unique_ptr<CoordinatorCore> core_;
  TextStages stages_;
  std::deque<TellText> orders_;
  std::deque<TextJudged> verdicts_;
  bool text_held_ = false;
  std::map<LinkId, std::unique_ptr<FakeWorker>> workers_;
  std::map<RequestId, Client> clients_;
  std::map<LinkId, std::string> dropped_;
  std::vector<std::string> logs_, complaints_;
  absl::Status told_admin_;
  std::map<StepId, std::uint64_t> digests_;  // of the newest epoch
  Epoch digests_epoch_;
  std::uint64_t next_link_ = 1, next_request_ = 1;
  Micros now_ = 1000;
};

// A greedy ask of so many tokens.
ClientAsk AskOf(std::string id, std::vector<TokenId> prompt, int max_tokens);
std::vector<TokenId> PromptOf(int tokens, int salt = 0);

}  // namespace conclave
