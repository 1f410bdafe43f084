#include "coordinator/admission.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace conclave {
namespace {

// The first mistake found; further ones are not looked for.
class Verdict {
 public:
  bool ok() const { return field_.empty(); }
  void Refuse(std::string field, std::string message) {
    if (!ok()) return;
    field_ = std::move(field);
    message_ = std::move(message);
  }
  Ending Take() {
    return Ending{.end = End::kRefused, .field = std::move(field_), .message = std::move(message_)};
  }

 private:
  std::string field_, message_;
};

struct Range {
  double low, high;
  bool low_open = false;
};

// NaN is in no range: only success is a comparison.
double Resolve(std::string field, std::optional<double> asked, double fallback, const Range& range,
               Verdict& verdict) {
  if (!asked.has_value()) return fallback;
  const bool above = range.low_open ? *asked > range.low : *asked >= range.low;
  if (!(std::isfinite(*asked) && above && *asked <= range.high)) {
    verdict.Refuse(std::move(field), absl::StrCat("must be in ", range.low_open ? "(" : "[",
                                                  range.low, ", ", range.high, "], is ", *asked));
  }
  return *asked;
}

bool IsUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t size = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
    if (size == 0 || i + size > text.size()) return false;
    for (std::size_t k = 1; k < size; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    i += size;
  }
  return true;
}

void CheckIds(const std::string& field, std::span<const TokenId> ids, std::int32_t vocab,
              Verdict& verdict) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab) continue;
    verdict.Refuse(
        field, absl::StrCat("token ", ids[i], " at ", i, " is not in the vocabulary of ", vocab));
    return;
  }
}

void AdmitPrompt(const ClientAsk& ask, const AdmissionContext& context, Verdict& verdict) {
  const auto context_tokens = static_cast<std::size_t>(context.model.facts.context);
  if (ask.prompt.empty()) {
    verdict.Refuse("prompt.token_ids", "the prompt is empty");
  } else if (ask.prompt.size() >= context_tokens) {
    verdict.Refuse("prompt.token_ids",
                   absl::StrCat("the prompt has ", ask.prompt.size(), " tokens; the context of ",
                                context_tokens, " must hold it and at least one more"));
  }
  CheckIds("prompt.token_ids", ask.prompt, context.model.facts.vocab, verdict);
}

void AdmitBias(const ClientAsk& ask, const AdmissionContext& context, SamplingParams& sampling,
               Verdict& verdict) {
  const std::string field = "sampling.logit_bias";
  if (ask.logit_bias.size() > kLogitBiasMax) {
    verdict.Refuse(field, absl::StrCat("more than ", kLogitBiasMax, " entries"));
    return;
  }
  for (const auto& [id, bias] : ask.logit_bias) {
    CheckIds(field, {&id, 1}, context.model.facts.vocab, verdict);
    if (!std::isfinite(bias))
      verdict.Refuse(field, absl::StrCat("of token ", id, " is not finite"));
  }
  sampling.logit_bias = ask.logit_bias;
  std::ranges::sort(sampling.logit_bias);
  const auto twin = std::ranges::adjacent_find(
      sampling.logit_bias, [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twin != sampling.logit_bias.end()) {
    verdict.Refuse(field, absl::StrCat("token ", twin->first, " occurs twice"));
  }
}

void AdmitSampling(const ClientAsk& ask, const AdmissionContext& context, SamplingParams& sampling,
                   Verdict& verdict) {
  const ServedModel& model = context.model;
  const double huge = std::numeric_limits<float>::max();
  sampling.temperature = Resolve("sampling.temperature", ask.temperature,
                                 model.temperature.value_or(1.0), {0, huge}, verdict);
  sampling.top_p =
      Resolve("sampling.top_p", ask.top_p, model.top_p.value_or(1.0), {0, 1, true}, verdict);
  sampling.min_p = Resolve("sampling.min_p", ask.min_p, 0.0, {0, 1}, verdict);
  sampling.repetition_penalty =
      Resolve("sampling.repetition_penalty", ask.repetition_penalty,
              model.repetition_penalty.value_or(1.0), {0, huge, true}, verdict);
  sampling.presence_penalty =
      Resolve("sampling.presence_penalty", ask.presence_penalty, 0.0, {-2, 2}, verdict);
  sampling.frequency_penalty =
      Resolve("sampling.frequency_penalty", ask.frequency_penalty, 0.0, {-2, 2}, verdict);
  sampling.top_k = ask.top_k.value_or(std::min(model.top_k.value_or(0), model.facts.vocab));
  if (sampling.top_k < 0 || sampling.top_k > model.facts.vocab) {
    verdict.Refuse("sampling.top_k",
                   absl::StrCat("must be in [0, ", model.facts.vocab, "], is ", sampling.top_k));
  }
  sampling.seed = ask.seed.value_or(ask.fallback_seed);
  AdmitBias(ask, context, sampling, verdict);
}

void AdmitOutput(const ClientAsk& ask, const AdmissionContext& context, SamplingParams& sampling,
                 Verdict& verdict) {
  const int most = std::min(kLogprobsMax, context.model.facts.vocab);
  const auto check = [&](const char* field, std::optional<int> asked) {
    if (asked.has_value() && (*asked < 0 || *asked > most)) {
      verdict.Refuse(field, absl::StrCat("must be in [0, ", most, "], is ", *asked));
    }
    return asked;
  };
  sampling.logprobs = check("output.logprobs", ask.logprobs);
  sampling.prompt_logprobs = check("output.prompt_logprobs", ask.prompt_logprobs);
  sampling.routed_experts = ask.routed_experts;
  if (ask.routed_experts && context.model.facts.moe_layers == 0) {
    verdict.Refuse("output.routed_experts", "the model has no experts");
  }
}

void AdmitStops(const ClientAsk& ask, const AdmissionContext& context, Request& request,
                Verdict& verdict) {
  CheckIds("stop.token_ids", ask.stop_ids, context.model.facts.vocab, verdict);
  std::vector<TokenId>& ids = request.sampling.stop_ids;
  ids = ask.stop_ids;
  if (!ask.ignore_eos) {
    ids.insert(ids.end(), context.model.eos_ids.begin(), context.model.eos_ids.end());
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (ids.size() > kStopIdsMax) {
    verdict.Refuse("stop.token_ids", absl::StrCat("more than ", kStopIdsMax, " with the model's"));
  }
  if (ask.stop.size() > kStopStringsMax) {
    verdict.Refuse("stop.strings", absl::StrCat("more than ", kStopStringsMax));
  }
  for (const std::string& stop : ask.stop) {
    if (stop.empty()) verdict.Refuse("stop.strings", "one of them is empty");
    if (stop.size() > kStopStringBytesMax) {
      verdict.Refuse("stop.strings", absl::StrCat("longer than ", kStopStringBytesMax, " bytes"));
    }
    if (!IsUtf8(stop)) verdict.Refuse("stop.strings", "not UTF-8");
  }
  if (!ask.stop.empty() && context.text == nullptr) {
    verdict.Refuse("stop.strings", "this model has no tokenizer: token ids only");
  }
}

void AdmitLength(const ClientAsk& ask, const AdmissionContext& context, Request& request,
                 Verdict& verdict) {
  if (ask.max_tokens.has_value() && *ask.max_tokens < 1) {
    verdict.Refuse("stop.max_tokens", absl::StrCat("must be at least 1, is ", *ask.max_tokens));
  }
  const int min_tokens = ask.min_tokens.value_or(0);
  if (min_tokens < 0 || min_tokens > ask.max_tokens.value_or(kContextMax)) {
    verdict.Refuse("stop.min_tokens", absl::StrCat("must be in [0, max_tokens], is ", min_tokens));
  }
  request.sampling.min_tokens = min_tokens;
  const std::int32_t context_tokens = context.model.facts.context;
  if (ask.resume_after < 0 || ask.resume_after > context_tokens) {
    verdict.Refuse("resume_after", absl::StrCat("must be in [0, ", context_tokens,
                                                "], the context; is ", ask.resume_after));
  }
  if (!verdict.ok()) return;
  request.length_max = static_cast<std::int32_t>(std::min<std::int64_t>(
      context_tokens,
      std::int64_t{request.prompt_tokens} + ask.max_tokens.value_or(context_tokens)));
  request.max_tokens_given = ask.max_tokens.has_value();
  if (context.blocks_max == 0) return;
  if (std::optional<Ending> misfit = FitToKv(request, context.blocks_max)) {
    verdict.Refuse(misfit->field, misfit->message);
  }
}

std::optional<Ending> Overload(const ClientAsk& ask, const AdmissionContext& context) {
  const auto tokens = context.waiting_tokens + static_cast<std::int64_t>(ask.prompt.size());
  Ending ending{.end = End::kOverloaded};
  if (context.waiting >= static_cast<std::size_t>(std::max(0, context.config.waiting_max))) {
    ending.message = absl::StrCat(context.waiting, " requests are waiting");
  } else if (context.waiting > 0 && tokens > context.config.waiting_tokens_max) {
    ending.message = absl::StrCat(tokens, " prompt tokens would be waiting");
  } else {
    return std::nullopt;
  }
  return ending;
}

}  // namespace

std::int64_t BlocksToTheEnd(const Request& request) {
  // The last token is never fed.
  const std::int64_t blocks = (request.length_max - 1 + kKvBlockTokens - 1) / kKvBlockTokens;
  return request.blocks_max > 0 ? std::min(blocks, request.blocks_max) : blocks;
}

std::optional<Ending> FitToKv(Request& request, std::int64_t blocks_max) {
  // One position fewer than tokens: the last token is never fed.
  const std::int64_t tokens_max = blocks_max * kKvBlockTokens + 1;
  const std::int64_t known = request.prompt_tokens + request.usage.completion_tokens;
  const std::int64_t tokens = request.max_tokens_given ? request.length_max : known + 1;
  const std::int64_t fitted = request.blocks_max;
  request.blocks_max = fitted > 0 ? std::min(fitted, blocks_max) : blocks_max;
  if (tokens <= tokens_max) return std::nullopt;
  if (fitted > blocks_max) {
    return Ending{.end = End::kUnavailable,
                  .message = "the workers that are left have too little KV memory for it"};
  }
  if (fitted > 0) {
    return Ending{.end = End::kOutgrown,
                  .message = absl::StrCat("the answer has outgrown a worker's KV memory: it holds ",
                                          tokens_max - 1, " tokens, prompt included")};
  }
  Ending ending{.end = End::kRefused};
  if (request.prompt_tokens >= tokens_max) {
    ending.field = "prompt.token_ids";
    ending.message = absl::StrCat("the prompt has ", request.prompt_tokens,
                                  " tokens; a worker's KV memory holds ", tokens_max - 1);
  } else {
    ending.field = "stop.max_tokens";
    ending.message = absl::StrCat(request.length_max - request.prompt_tokens, " after a prompt of ",
                                  request.prompt_tokens,
                                  " can never fit; a worker's KV memory holds ", tokens_max - 1);
  }
  return ending;
}

Admission Admit(const ClientAsked& asked, const AdmissionContext& context) {
  const ClientAsk& ask = asked.ask;
  Verdict verdict;
  if (ask.id.size() > kRequestIdBytesMax) {
    verdict.Refuse("request_id", absl::StrCat("longer than ", kRequestIdBytesMax, " bytes"));
  } else if (ask.id.empty()) {
    verdict.Refuse("request_id", "is empty");
  }
  auto request = std::make_unique<Request>();
  request->order = {asked.now, asked.request};
  request->prompt_tokens = static_cast<std::int32_t>(
      std::min<std::size_t>(ask.prompt.size(), std::numeric_limits<std::int32_t>::max()));
  AdmitPrompt(ask, context, verdict);
  AdmitSampling(ask, context, request->sampling, verdict);
  AdmitOutput(ask, context, request->sampling, verdict);
  AdmitStops(ask, context, *request, verdict);
  AdmitLength(ask, context, *request, verdict);
  if (!verdict.ok()) return verdict.Take();
  if (!context.live) {
    if (auto overload = Overload(ask, context)) return *std::move(overload);
  }
  if (ask.deadline.has_value() && *ask.deadline <= asked.now) {
    return Ending{.end = End::kDeadline, .message = "the deadline had passed on arrival"};
  }
  request->name = ask.id;
  request->tokens = ask.prompt;
  request->stops = ask.stop;
  request->include_stop_in_text = ask.include_stop_in_text;
  request->skip_special = ask.skip_special;
  request->reader = {.stream = asked.request, .has = ask.resume_after};
  request->deadline = ask.deadline;
  request->usage.prompt_tokens = request->prompt_tokens;
  request->UpdateHashes();
  return request;
}

}  // namespace conclave
