#include "cli/generate_output.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace conclave {
namespace {

// Numbers are float here: nlohmann prints the shortest form that reads back to the same float.
using JsonValue = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool,
                                       std::int64_t, std::uint64_t, float>;

JsonValue TopOf(const v1::TokenLogprob& entry) {
  JsonValue top = JsonValue::array();
  for (const v1::TopLogprob& one : entry.top()) top.push_back({one.token_id(), one.logprob()});
  return top;
}

JsonValue LogprobOf(const v1::TokenLogprob& entry) {
  return {{"token_id", entry.token_id()}, {"logprob", entry.logprob()}, {"top", TopOf(entry)}};
}

const char* ReasonName(const v1::GenerateResponse& whole, const grpc::Status& status) {
  if (!status.ok()) return "error";
  const v1::FinishReason reason = whole.finished().reason();
  if (reason == v1::FINISH_REASON_STOP) return "stop";
  if (reason == v1::FINISH_REASON_LENGTH) return "length";
  return reason == v1::FINISH_REASON_CANCELLED ? "cancelled" : "unspecified";
}

JsonValue RoutedOf(const v1::RoutedExperts& routed) {
  return {{"layers", routed.layers()},
          {"tokens", routed.tokens()},
          {"k", routed.k()},
          {"data", absl::Base64Escape(routed.data())}};
}

float Ms(double value) { return static_cast<float>(value); }

void AddFinished(const v1::Finished& finished, JsonValue& object) {
  if (!finished.stop_string().empty()) object["stop_string"] = finished.stop_string();
  if (finished.has_stop_token_id()) object["stop_token_id"] = finished.stop_token_id();
  const v1::Usage& usage = finished.usage();
  object["usage"] = {{"prompt_tokens", usage.prompt_tokens()},
                     {"cached_prompt_tokens", usage.cached_prompt_tokens()},
                     {"completion_tokens", usage.completion_tokens()}};
  const v1::Timing& timing = finished.timing();
  object["timing"] = {{"queue_ms", Ms(timing.queue_ms())},
                      {"ttft_ms", Ms(timing.ttft_ms())},
                      {"inter_token_ms_p50", Ms(timing.inter_token_ms_p50())},
                      {"inter_token_ms_max", Ms(timing.inter_token_ms_max())},
                      {"total_ms", Ms(timing.total_ms())}};
}

}  // namespace

CallError ErrorOf(const grpc::Status& status) {
  // absl's codes are gRPC's, with the same names.
  CallError error{absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code())), "",
                  status.error_message()};
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return error;
  for (const google::protobuf::Any& detail : rich.details()) {
    google::rpc::BadRequest bad;
    if (!detail.UnpackTo(&bad) || bad.field_violations_size() == 0) continue;
    error.field = bad.field_violations(0).field();
    error.message = bad.field_violations(0).description();
  }
  return error;
}

std::string ErrorLine(const grpc::Status& status) {
  const CallError error = ErrorOf(status);
  if (error.field.empty()) return absl::StrCat(error.code, ": ", error.message);
  return absl::StrCat(error.field, ": ", error.message);
}

grpc::Status RefusalOf(const absl::Status& status) {
  const std::string message(status.message());
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::size_t colon = message.find(": ");
  const bool named = colon != std::string::npos &&
                     message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == colon;
  if (!named) return grpc::Status(code, message);
  google::rpc::Status rich;
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field(message.substr(0, colon));
  bad.mutable_field_violations(0)->set_description(message.substr(colon + 2));
  rich.add_details()->PackFrom(bad);
  return grpc::Status(code, message, rich.SerializeAsString());
}

std::string StatsLine(const v1::GenerateResponse& whole) {
  const v1::Finished& finished = whole.finished();
  const v1::Timing& timing = finished.timing();
  const int tokens = finished.usage().completion_tokens();
  const double decode_ms = timing.total_ms() - timing.ttft_ms();
  const double rate = tokens > 1 && decode_ms > 0 ? (tokens - 1) / decode_ms * 1e3 : 0;
  return absl::StrFormat(
      "%d prompt tokens (%d cached), %d tokens at %.1f per second; first after %.1f ms, %.1f ms in "
      "all",
      finished.usage().prompt_tokens(), finished.usage().cached_prompt_tokens(), tokens, rate,
      timing.ttft_ms(), timing.total_ms());
}

void Answer::Add(const v1::GenerateResponse& part) {
  // MergeFrom appends what repeats and replaces strings; text is to be appended, too.
  std::string text = std::move(*whole_.mutable_text());
  text += part.text();
  whole_.MergeFrom(part);
  whole_.set_text(std::move(text));
}

std::string Answer::Json(const std::string& id, const grpc::Status& status) const {
  JsonValue object;
  object["id"] = id.empty() ? whole_.request_id() : id;
  JsonValue ids = JsonValue::array();
  for (const std::int32_t token : whole_.token_ids()) ids.push_back(token);
  object["token_ids"] = std::move(ids);
  object["text"] = whole_.text();
  object["finish_reason"] = ReasonName(whole_, status);
  const bool whole = whole_.has_finished();
  if ((logprobs_ && whole) || whole_.logprobs_size() > 0) {
    object["logprobs"] = JsonValue::array();
    for (const v1::TokenLogprob& entry : whole_.logprobs()) {
      object["logprobs"].push_back(LogprobOf(entry));
    }
  }
  if ((prompt_logprobs_ && whole) || whole_.prompt_logprobs_size() > 0) {
    object["prompt_logprobs"].push_back(nullptr);  // nothing comes before the first token
    for (const v1::TokenLogprob& entry : whole_.prompt_logprobs()) {
      object["prompt_logprobs"].push_back(LogprobOf(entry));
    }
  }
  const v1::Finished& finished = whole_.finished();
  if (finished.has_routed_experts()) object["routed_experts"] = RoutedOf(finished.routed_experts());
  if (whole_.has_finished()) AddFinished(finished, object);
  if (!status.ok()) {
    const CallError error = ErrorOf(status);
    object["error"] = {{"code", error.code}, {"message", error.message}};
    object["error"]["field"] = error.field.empty() ? JsonValue() : JsonValue(error.field);
  }
  return object.dump(-1, ' ', false, JsonValue::error_handler_t::replace);
}

}  // namespace conclave
