// Plans for `conclave bench engine`, made by hand: prompts in chunks of a budget, then decode steps
// of a whole batch. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/plan.h"

namespace conclave {

struct BenchShape {
  int workers = 1;      // slots 0 .. workers - 1; sequence i lives on slot i % workers
  int batch = 1;        // sequences
  int prompt = 512;     // tokens of each
  int generate = 64;    // decode steps
  int depth = 0;        // positions before the first decode step; 0: those of the prompt
  int step_rows = 512;  // prompt tokens of one step, over all workers
  int vocab = 0;
};

class BenchPlans {
 public:
  explicit BenchPlans(const BenchShape& shape);

  // What a worker must hold room for.
  int kv_blocks() const;
  int sequences_max() const { return per_worker_; }
  int rows_max() const { return rows_max_; }

  using Parts = std::vector<WorkerPart>;  // by slot
  // Closes what is open; then new sequences, nothing computed. The next prompts differ.
  void OpenPrompts();
  // The next step of prefill; nothing when every prompt is computed and its first token sampled.
  std::optional<Parts> Prefill();
  // Closes what is open; then new sequences whose first `depth` positions (rounded down to whole
  // blocks) count as computed: what their blocks hold does not change what a step costs.
  void OpenAtDepth();
  // One token of every sequence.
  Parts Decode();

 private:
  struct Sequence {
    SeqId id;
    int computed = 0;
    int blocks = 0;  // given so far
    bool opened = false;
    std::vector<TokenId> tokens;
    int tokens_in_all = 0;  // known by the worker, sampled ones included
  };
  int SlotOf(std::size_t index) const;
  int FirstBlockOf(std::size_t index) const;
  void Renew(int tokens);
  Parts EmptyParts();
  void AddOpen(std::size_t index, int blocks, WorkerPart& part);
  void AddChunk(std::size_t index, int count, WorkerPart& part);

  BenchShape shape_;
  int per_worker_ = 0;
  int rows_max_ = 0;
  int blocks_each_ = 0;
  std::uint64_t next_id_ = 1;
  std::vector<Sequence> sequences_;
  std::vector<std::vector<SeqId>> closing_;  // by slot
};

}  // namespace conclave
