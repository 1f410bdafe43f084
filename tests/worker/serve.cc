#include "tests/worker/serve.h"

#include <algorithm>

#include "base/check.h"

namespace conclave {
namespace {

struct Running {
  bool open = false;
  bool done = false;
  std::int32_t computed = 0;
  std::size_t home = 0;
  std::vector<BlockId> blocks;
};

class Scheduler {
 public:
  Scheduler(TestCluster& cluster, const std::vector<TestRequest>& requests,
            const ServeOptions& options)
      : cluster_(cluster), requests_(requests), options_(options) {
    static std::uint64_t ids = 1000;  // never used twice in a process, whatever the cluster
    first_id_ = ids;
    ids += requests.size();
    running_.resize(requests.size());
    outputs_.resize(requests.size());
    free_.resize(cluster.homes().size());
    // Blocks in an odd order: nothing may depend on which one a sequence gets.
    for (auto& blocks : free_) {
      const std::int32_t count = cluster.options().kv_blocks;
      for (std::int32_t b = 0; b < count; ++b) blocks.push_back(BlockId{b * 7 % count});
      std::ranges::sort(blocks);
      blocks.erase(std::ranges::unique(blocks).begin(), blocks.end());
      std::ranges::rotate(blocks, blocks.begin() + static_cast<std::ptrdiff_t>(blocks.size() / 3));
    }
    for (std::size_t i = 0; i < running_.size(); ++i) running_[i].home = i % free_.size();
  }

  std::vector<TestOutput> Run() {
    for (int now = 0; left_ > 0; ++now) {
      if (options_.before_step) options_.before_step(now);
      std::vector<WorkerPart> parts = cluster_.EmptyParts();
      Plan(now, parts);
      const TestCluster::Outcome outcome = cluster_.Run(parts);
      CONCLAVE_CHECK(outcome.ok(), "%s", outcome.broken.front().error.c_str());
      CONCLAVE_CHECK(outcome.results.size() == parts.size(), "a result is missing");
      for (const StepResult& result : outcome.results) Take(result);
    }
    std::vector<WorkerPart> parts = cluster_.EmptyParts();
    for (std::size_t i = 0; i < closing_.size(); ++i) {
      Part(parts, closing_[i]).closes.push_back(SeqId{first_id_ + closing_[i]});
    }
    CONCLAVE_CHECK(cluster_.Run(parts).ok(), "closing");
    return std::move(outputs_);
  }

 private:
  WorkerPart& Part(std::vector<WorkerPart>& parts, std::size_t request) {
    const int slot = cluster_.homes()[running_[request].home];
    return parts[static_cast<std::size_t>(slot)];
  }

  void Plan(int now, std::vector<WorkerPart>& parts) {
    for (const std::size_t i : closing_) {
      Part(parts, i).closes.push_back(SeqId{first_id_ + i});
      auto& free = free_[running_[i].home];
      free.insert(free.end(), running_[i].blocks.begin(), running_[i].blocks.end());
    }
    closing_.clear();
    int concurrent = 0;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      Running& running = running_[i];
      if (running.done || requests_[i].arrives > now) continue;
      if (++concurrent > options_.concurrent) break;
      WorkerPart& part = Part(parts, i);
      if (!running.open) {
        running.open = true;
        part.opens.push_back({.seq = SeqId{first_id_ + i},
                              .sampling = requests_[i].sampling,
                              .prompt_tokens = static_cast<int>(requests_[i].prompt.size()),
                              .tokens = requests_[i].prompt,
                              .blocks = {}});
      }
      AddChunk(i, part);
    }
  }

  void AddChunk(std::size_t i, WorkerPart& part) {
    Running& running = running_[i];
    const auto length =
        static_cast<std::int32_t>(requests_[i].prompt.size() + outputs_[i].tokens.size());
    const auto room = static_cast<std::int32_t>(cluster_.options().rows_max - part.rows());
    Chunk chunk{.seq = SeqId{first_id_ + i}, .begin = running.computed};
    chunk.count = std::min({length - running.computed, options_.chunk, room});
    if (chunk.count <= 0) return;
    running.computed += chunk.count;
    chunk.sample = running.computed == length;
    auto& free = free_[running.home];
    while (static_cast<std::int32_t>(running.blocks.size()) * kKvBlockTokens < running.computed) {
      CONCLAVE_CHECK(!free.empty(), "no block is free");
      chunk.new_blocks.push_back(free.back());
      running.blocks.push_back(free.back());
      free.pop_back();
    }
    part.chunks.push_back(std::move(chunk));
  }

  void Take(const StepResult& result) {
    for (const SampledToken& sampled : result.sampled) {
      const std::size_t i = sampled.seq.value - first_id_;
      TestOutput& output = outputs_[i];
      CONCLAVE_CHECK(static_cast<std::size_t>(sampled.position) ==
                         requests_[i].prompt.size() + output.tokens.size(),
                     "position %d", sampled.position);
      output.tokens.push_back(sampled.token);
      if (sampled.has_logprob) output.logprobs.push_back(sampled.logprob);
      if (static_cast<int>(output.tokens.size()) < requests_[i].max_tokens) continue;
      running_[i].done = true;
      closing_.push_back(i);
      --left_;
    }
    for (const PromptLogprobs& prompt : result.prompt_logprobs) {
      auto& entries = outputs_[prompt.seq.value - first_id_].prompt_logprobs;
      CONCLAVE_CHECK(prompt.begin == static_cast<int>(entries.size()) + 1, "a gap");
      entries.insert(entries.end(), prompt.entries.begin(), prompt.entries.end());
    }
    for (const RoutedExperts& routed : result.routed) {
      auto& ids = outputs_[routed.seq.value - first_id_].routed;
      ids.insert(ids.end(), routed.ids.begin(), routed.ids.end());
    }
  }

  TestCluster& cluster_;
  const std::vector<TestRequest>& requests_;
  const ServeOptions& options_;
  std::uint64_t first_id_ = 0;
  std::size_t left_ = requests_.size();
  std::vector<Running> running_;
  std::vector<TestOutput> outputs_;
  std::vector<std::vector<BlockId>> free_;  // by home
  std::vector<std::size_t> closing_;
};

}  // namespace

std::vector<TestOutput> Serve(TestCluster& cluster, const std::vector<TestRequest>& requests,
                              const ServeOptions& options) {
  return Scheduler(cluster, requests, options).Run();
}

}  // namespace conclave
