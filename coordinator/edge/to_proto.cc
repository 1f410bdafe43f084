// The core's words, as clients read them.
#include <bit>
#include <cstring>

#include "base/check.h"
#include "coordinator/edge/translate.h"

namespace conclave {
namespace {

v1::FinishReason ReasonOf(End end) {
  switch (end) {
    case End::kStop:
      return v1::FINISH_REASON_STOP;
    case End::kLength:
      return v1::FINISH_REASON_LENGTH;
    case End::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case End::kDeadline:
    case End::kRefused:
    case End::kOverloaded:
    case End::kUnavailable:
    case End::kReplaced:
    case End::kOutgrown:
    case End::kInternal:
      break;
  }
  return v1::FINISH_REASON_UNSPECIFIED;  // these end with a status, not with a message
}

double Ms(Micros micros) { return static_cast<double>(micros) / 1e3; }

void Fill(const TokenLogprob& from, v1::TokenLogprob& to) {
  to.set_token_id(from.id);
  to.set_logprob(from.logprob);
  for (const TopLogprob& top : from.top) {
    v1::TopLogprob& entry = *to.add_top();
    entry.set_token_id(top.id);
    entry.set_logprob(top.logprob);
  }
}

void Fill(const std::vector<std::uint16_t>& routed, const ModelFacts& model,
          v1::RoutedExperts& to) {
  static_assert(std::endian::native == std::endian::little, "the ids travel as they lie");
  to.set_layers(model.moe_layers);
  to.set_k(model.topk);
  const std::size_t per_token = static_cast<std::size_t>(model.moe_layers * model.topk);
  CONCLAVE_CHECK(per_token > 0 && routed.size() % per_token == 0, "%zu ids", routed.size());
  to.set_tokens(static_cast<std::int32_t>(routed.size() / per_token));
  to.set_data(routed.data(), routed.size() * sizeof(std::uint16_t));
}

void Fill(const Ending& ending, v1::Finished& to) {
  to.set_reason(ReasonOf(ending.end));
  to.set_stop_string(ending.stop);
  if (ending.stop_id) to.set_stop_token_id(*ending.stop_id);
  v1::Usage& usage = *to.mutable_usage();
  usage.set_prompt_tokens(ending.usage.prompt_tokens);
  usage.set_cached_prompt_tokens(ending.usage.cached_prompt_tokens);
  usage.set_completion_tokens(ending.usage.completion_tokens);
  v1::Timing& timing = *to.mutable_timing();
  timing.set_queue_ms(Ms(ending.timing.queue));
  timing.set_ttft_ms(Ms(ending.timing.first_token));
  timing.set_inter_token_ms_p50(Ms(ending.timing.gap_p50));
  timing.set_inter_token_ms_max(Ms(ending.timing.gap_max));
  timing.set_total_ms(Ms(ending.timing.total));
}

}  // namespace

v1::GenerateResponse ToProto(const StreamPart& part, const std::string& request_id,
                             const ModelFacts& model) {
  v1::GenerateResponse response;
  response.set_request_id(request_id);
  response.mutable_token_ids()->Assign(part.ids.begin(), part.ids.end());
  response.set_text(part.text);
  for (const TokenLogprob& entry : part.logprobs) Fill(entry, *response.add_logprobs());
  for (const TokenLogprob& entry : part.prompt_logprobs) {
    Fill(entry, *response.add_prompt_logprobs());
  }
  if (part.ending && ReasonOf(part.ending->end) != v1::FINISH_REASON_UNSPECIFIED) {
    Fill(*part.ending, *response.mutable_finished());
    if (!part.routed.empty()) {
      Fill(part.routed, model, *response.mutable_finished()->mutable_routed_experts());
    }
  }
  return response;
}

v1::GetLoadResponse LoadOf(const ClusterSnapshot& snapshot) {
  v1::GetLoadResponse response;
  response.set_requests_running(snapshot.requests_running);
  response.set_requests_waiting(snapshot.requests_waiting);
  const auto used = static_cast<double>(snapshot.kv_blocks_used);
  const auto total = static_cast<double>(snapshot.kv_blocks_total);
  response.set_kv_utilisation(total > 0 ? used / total : 0);
  return response;
}

}  // namespace conclave
