#include "sim/client.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace conclave::sim {
namespace {

class Planner {
 public:
  Planner(const SimOptions& options, const Toy& toy, Dice& dice)
      : options_(options), workload_(options.workload), toy_(toy), dice_(dice) {
    for (int i = 0; i < workload_.prefixes; ++i) {
      prefixes_.push_back(Tokens(dice.Int(1, std::max(1, workload_.prompt_max - 4))));
    }
    kv_tokens_ = toy.config.context;
    for (const NodeShape& node : options.nodes) {
      if (node.role != Role::kWorker) continue;
      kv_tokens_ = std::min(kv_tokens_, node.kv_blocks * kKvBlockTokens);
    }
  }

  std::vector<ClientPlan> Plan() {
    std::vector<ClientPlan> plans;
    Micros burst = 0;
    for (int i = 0; i < workload_.requests; ++i) {
      if (!workload_.in_bursts || dice_.Percent(20)) {
        burst = dice_.Between(0, workload_.arrivals_within);
      }
      // Now and then somebody asks the same again.
      ClientPlan plan = !plans.empty() && dice_.Percent(5) ? plans.back() : One();
      plan.ask.id = absl::StrCat("r", i);
      plan.at = burst;
      plan.imposter = false;
      plan.twice = dice_.Percent(workload_.twice_percent);
      plans.push_back(plan);
      if (plan.refused_field.empty() && dice_.Percent(2)) plans.push_back(Imposter(plan));
    }
    std::ranges::stable_sort(plans, {}, &ClientPlan::at);
    return plans;
  }

 private:
  std::vector<TokenId> Tokens(int count) {
    std::vector<TokenId> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back(dice_.Int(0, toy_.config.vocab - 1));
    return tokens;
  }

  ClientPlan Imposter(ClientPlan plan) {
    TokenId& last = plan.ask.prompt.back();
    last = (last + 1) % toy_.config.vocab;
    plan.at += dice_.Between(1, 20'000);
    plan.imposter = true;
    plan.twice = false;
    plan.aborts = false;
    return plan;
  }

  ClientPlan One() {
    ClientPlan plan;
    ClientAsk& ask = plan.ask;
    Prompt(ask);
    Sampling(ask);
    Lengths(ask);
    if (dice_.Percent(workload_.stop_percent)) Stops(ask);
    Details(ask);
    Behaviour(plan);
    if (dice_.Percent(workload_.bad_percent)) Spoil(plan);
    return plan;
  }

  void Prompt(ClientAsk& ask) {
    const int size = dice_.Int(1, std::min(workload_.prompt_max, kv_tokens_ - 1));
    if (!prefixes_.empty() && dice_.Percent(60)) ask.prompt = dice_.Pick(prefixes_);
    const int have = static_cast<int>(ask.prompt.size());
    if (have >= size) {
      ask.prompt.resize(static_cast<std::size_t>(size));
    } else {
      const std::vector<TokenId> rest = Tokens(size - have);
      ask.prompt.insert(ask.prompt.end(), rest.begin(), rest.end());
    }
  }

  void Sampling(ClientAsk& ask) {
    ask.fallback_seed = dice_.Bits();
    if (dice_.Percent(50)) ask.seed = dice_.Bits();
    if (dice_.Percent(workload_.greedy_percent)) {
      ask.temperature = 0;
    } else if (dice_.Percent(60)) {
      ask.temperature = static_cast<double>(dice_.Int(1, 8)) / 4;
    }
    if (dice_.Percent(20)) ask.top_k = dice_.Int(0, toy_.config.vocab);
    if (dice_.Percent(20)) ask.top_p = static_cast<double>(dice_.Int(1, 8)) / 8;
    if (dice_.Percent(10)) ask.min_p = static_cast<double>(dice_.Int(0, 4)) / 16;
    if (dice_.Percent(10)) ask.repetition_penalty = static_cast<double>(dice_.Int(3, 8)) / 4;
    if (dice_.Percent(10)) ask.presence_penalty = static_cast<double>(dice_.Int(-8, 8)) / 4;
    if (dice_.Percent(10)) ask.frequency_penalty = static_cast<double>(dice_.Int(-8, 8)) / 4;
    for (TokenId id = dice_.Int(0, 3); dice_.Percent(10) && id < toy_.config.vocab; id += 7) {
      ask.logit_bias.emplace_back(id, static_cast<float>(dice_.Int(-8, 8)) / 2);
    }
  }

  void Lengths(ClientAsk& ask) {
    const int room =
        std::min(kv_tokens_ + 1, toy_.config.context) - static_cast<int>(ask.prompt.size());
    const int most = std::min(workload_.output_max, room);
    ask.max_tokens = dice_.Int(1, most);
    // Unset: the context is the limit. Rare, because it is long.
    if (dice_.Percent(2)) ask.max_tokens.reset();
    if (dice_.Percent(20)) ask.min_tokens = dice_.Int(0, ask.max_tokens.value_or(most));
    ask.ignore_eos = dice_.Percent(20);
  }

  void Stops(ClientAsk& ask) {
    const int ids = dice_.Int(0, 2);
    for (int i = 0; i < ids; ++i) ask.stop_ids.push_back(dice_.Int(0, toy_.config.vocab - 1));
    const int strings = dice_.Int(ids == 0 ? 1 : 0, 3);
    for (int i = 0; i < strings; ++i) {
      std::string stop;
      const int letters = dice_.Int(1, 3);
      for (int l = 0; l < letters; ++l) stop += static_cast<char>('a' + dice_.Int(0, 25));
      if (dice_.Percent(10)) stop = "\xc3\xa9";
      ask.stop.push_back(std::move(stop));
    }
    ask.include_stop_in_text = dice_.Percent(30);
  }

  void Details(ClientAsk& ask) {
    ask.skip_special = dice_.Percent(70);
    if (dice_.Percent(70)) ask.logprobs = dice_.Int(0, 3);
    if (dice_.Percent(workload_.details_percent)) ask.prompt_logprobs = dice_.Int(0, 3);
    ask.routed_experts = dice_.Percent(workload_.details_percent);
  }

  void Behaviour(ClientPlan& plan) {
    if (dice_.Percent(workload_.leave_percent)) {
      plan.aborts = dice_.Percent(40);
      if (dice_.Percent(50)) {
        plan.leaves_after = dice_.Between(0, workload_.arrivals_within);
      } else {
        plan.leaves_at_token = dice_.Int(1, 6);
      }
    }
    // Relative here; the world adds the time of the ask.
    if (dice_.Percent(workload_.deadline_percent)) {
      plan.ask.deadline = dice_.Between(-100, workload_.arrivals_within * 2);
    }
    if (dice_.Percent(workload_.resume_percent)) plan.loses_at_token = dice_.Int(1, 12);
    if (dice_.Percent(15)) plan.reads_every = dice_.Between(1'000, 40'000);
  }

  void Spoil(ClientPlan& plan) {
    ClientAsk& ask = plan.ask;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const int vocab = toy_.config.vocab;
    const auto spoil = [&](const char* field, auto& value, auto bad) {
      value = bad;
      plan.refused_field = field;
    };
    switch (dice_.Int(0, 11)) {
      case 0:
        return spoil("prompt.token_ids", ask.prompt, std::vector<TokenId>{});
      case 1:
        return spoil("prompt.token_ids", ask.prompt.back(), TokenId{vocab});
      case 2:
        return spoil("prompt.token_ids", ask.prompt,
                     std::vector<TokenId>(static_cast<std::size_t>(toy_.config.context), 1));
      case 3:
        return spoil("sampling.temperature", ask.temperature, dice_.Percent(50) ? nan : -0.5);
      case 4:
        return spoil("sampling.top_p", ask.top_p, dice_.Percent(50) ? 0.0 : 1.5);
      case 5:
        return spoil("sampling.top_k", ask.top_k, vocab + 1);
      case 6:
        return spoil("sampling.min_p", ask.min_p, -0.25);
      case 7:
        return spoil("stop.max_tokens", ask.max_tokens, 0);
      case 8:
        ask.stop.emplace_back("\xc3");
        plan.refused_field = "stop.strings";
        return;
      case 9:
        return spoil("output.logprobs", ask.logprobs, kLogprobsMax + 1);
      case 10:
        ask.stop_ids.push_back(-1);
        plan.refused_field = "stop.token_ids";
        return;
      default:
        return spoil("sampling.frequency_penalty", ask.frequency_penalty, -2.5);
    }
  }

  const SimOptions& options_;
  const WorkloadOptions& workload_;
  const Toy& toy_;
  Dice& dice_;
  std::vector<std::vector<TokenId>> prefixes_;
  int kv_tokens_ = 0;
};

}  // namespace

std::vector<ClientPlan> PlanClients(const SimOptions& options, const Toy& toy, Dice& dice) {
  return Planner(options, toy, dice).Plan();
}

}  // namespace conclave::sim
