// A worker as the plans see it, strict: it keeps sequences and a KV memory whose cells know which
// text they belong to, and complains about every plan that a real worker could not run exactly.
// Its next token is a function of the whole text before it, read through the block table.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/control.h"

namespace conclave {

// What K and V at the last of these positions depend on.
std::uint64_t ContentOf(std::uint64_t before, TokenId token);
// The token after a text with this content.
TokenId NextToken(std::uint64_t content, std::int32_t vocab);
// What any correct cluster answers: `count` tokens after the prompt.
std::vector<TokenId> Oracle(std::span<const TokenId> prompt, int count, std::int32_t vocab);
// The experts that a position is routed to.
std::uint16_t RoutedTo(std::uint64_t content, int layer, int k, std::int32_t experts);
// Those of all positions fed, as a result lists them.
std::vector<std::uint16_t> RoutedOf(std::span<const TokenId> fed);

ModelFacts FakeFacts();

class FakeWorker {
 public:
  FakeWorker(Hello hello, Slot slot);

  // A message of the coordinator; answers to it are in said(), steps wait for RunStep.
  void Hear(const ToWorker& message);
  bool HasStep() const { return committed_ && !steps_.empty(); }
  void RunStep();  // the oldest
  // The step did not end: nothing of it counts.
  void BreakStep();

  std::deque<FromWorker>& said() { return said_; }
  const Hello& hello() const { return hello_; }
  Slot slot() const { return slot_; }
  Epoch epoch() const { return epoch_; }
  bool dismissed() const { return dismissed_; }
  const std::optional<Goodbye>& goodbye() const { return goodbye_; }
  std::size_t open_sequences() const { return sequences_.size(); }
  const std::optional<Prepare>& prepare() const { return prepare_; }
  int steps_run() const { return steps_run_; }
  bool fail_next_open = false;  // of an epoch: answers not ok, with a new standby address
  bool fail_load = false;       // answers not ok, with the old one
  // Of an epoch that is made ready beside the running one.
  bool fail_load_aside = false;
  bool mute_aside = false;                // says nothing about it
  std::vector<Slot> deaf_to;              // whose frames do not come
  Epoch aside() const { return aside_; }  // {0, 0}: none
  const std::vector<Preload>& preloads() const { return preloads_; }
  std::uint64_t digest_salt = 0;
  // What it says its experts ran in each step. [2 MoE layers, 8 experts]
  std::vector<std::uint32_t> expert_rows = std::vector<std::uint32_t>(16, 1);
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  struct Sequence {
    SequenceOpen open;
    std::vector<TokenId> tokens;
    std::vector<BlockId> blocks;
    std::int32_t computed = 0;
  };
  void HearPrepare(const Prepare& prepare);
  void HearLoad(const Load& load);
  void HearConnect(const Connect& connect);
  void HearStep(const StepAsk& ask);
  void RunChunk(const Chunk& chunk, StepResult& result);
  void Feed(Sequence& sequence, std::int32_t position, const Chunk& chunk, StepResult& result);
  void Report(const Sequence& sequence, const Chunk& chunk, StepResult& result);
  void Write(const Sequence& sequence, std::int32_t position, std::uint64_t content);
  std::uint64_t Read(const Sequence& sequence, std::int32_t position) const;
  void CheckSharing(const Sequence& sequence, std::int32_t position);
  void Expect(bool condition, const std::string& what);

  const Hello hello_;
  Slot slot_;
  Epoch epoch_;
  bool committed_ = false;
  bool broken_ = false;
  bool dismissed_ = false;
  std::optional<Goodbye> goodbye_;
  std::optional<Prepare> prepare_;
  std::vector<Preload> preloads_;
  std::string standby_;
  int standbys_ = 0;
  Epoch aside_;
  std::string aside_address_;
  bool aside_connected_ = false;
  Placement aside_placement_;
  std::vector<ViewPeer> aside_peers_;
  StepId next_step_, last_done_;
  int steps_run_ = 0;
  std::deque<StepAsk> steps_;
  std::deque<FromWorker> said_;
  std::map<SeqId, Sequence> sequences_;
  std::vector<std::uint64_t> cells_;  // content by block and offset
  std::vector<std::string> complaints_;
};

}  // namespace conclave
