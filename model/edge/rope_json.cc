#include "model/edge/rope_json.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "model/rope.h"

namespace conclave {
namespace {

constexpr double kFactorMax = 1024;
constexpr double kThetaMax = 1e12;

absl::StatusOr<double> ReadFactor(const JsonFields& json) {
  ASSIGN_OR_RETURN(const double factor, json.NumberOr("factor", 0));
  if (factor < 1 || factor > kFactorMax) {
    return json.Bad("factor", absl::StrCat("expected a number in 1..", kFactorMax));
  }
  return factor;
}

// Given, or from mscale and mscale_all_dim when both are given (and not 0), or from the factor.
absl::StatusOr<double> ReadAttentionFactor(const JsonFields& json, double factor) {
  ASSIGN_OR_RETURN(const std::optional<double> given, json.Number("attention_factor"));
  if (given.has_value()) {
    if (*given <= 0 || *given > kFactorMax)
      return json.Bad("attention_factor", "expected a number > 0");
    return *given;
  }
  ASSIGN_OR_RETURN(const double mscale, json.NumberOr("mscale", 0));
  ASSIGN_OR_RETURN(const double mscale_all_dim, json.NumberOr("mscale_all_dim", 0));
  if (mscale < 0) return json.Bad("mscale", "expected a number >= 0");
  if (mscale_all_dim < 0) return json.Bad("mscale_all_dim", "expected a number >= 0");
  if (mscale == 0 || mscale_all_dim == 0) return YarnMagnitude(factor, 1);
  return YarnMagnitude(factor, mscale) / YarnMagnitude(factor, mscale_all_dim);
}

absl::Status ReadYarn(const JsonFields& json, ModelConfig& config) {
  RopeScaling& yarn = config.rope_scaling;
  yarn.kind = RopeScaling::Kind::kYarn;
  ASSIGN_OR_RETURN(yarn.factor, ReadFactor(json));
  const bool given = json.Has("original_max_position_embeddings");
  ASSIGN_OR_RETURN(const int original,
                   json.IntOr("original_max_position_embeddings", 1, kContextMax, config.context));
  yarn.original_max_positions = original;
  ASSIGN_OR_RETURN(yarn.beta_fast, json.NumberOr("beta_fast", 32));
  ASSIGN_OR_RETURN(yarn.beta_slow, json.NumberOr("beta_slow", 1));
  if (yarn.beta_slow <= 0) return json.Bad("beta_slow", "expected a number > 0");
  if (yarn.beta_fast <= yarn.beta_slow)
    return json.Bad("beta_fast", "expected a number above beta_slow");
  ASSIGN_OR_RETURN(yarn.truncate, json.BoolOr("truncate", true));
  ASSIGN_OR_RETURN(yarn.attention_factor, ReadAttentionFactor(json, yarn.factor));
  if (!given) return absl::OkStatus();
  // Qwen's cards say: add the scaling, leave max_position_embeddings. The reach is then original
  // times factor.
  const double reach = original * yarn.factor;
  if (reach > kContextMax) {
    return json.Bad("factor",
                    absl::StrCat("times original_max_position_embeddings exceeds ", kContextMax));
  }
  config.context = std::max(config.context, static_cast<int>(reach));
  return absl::OkStatus();
}

absl::Status ReadScaling(const JsonFields& json, ModelConfig& config) {
  // `type` is the old name of rope_type; where both stand, the new one counts.
  const char* const key = json.Has("rope_type") || !json.Has("type") ? "rope_type" : "type";
  ASSIGN_OR_RETURN(const std::string type, json.StringOr(key, "default"));
  ASSIGN_OR_RETURN(const double rotary_part, json.NumberOr("partial_rotary_factor", 1.0));
  if (rotary_part != 1.0) return json.Bad("partial_rotary_factor", "only 1 is supported");
  if (type == "default") return absl::OkStatus();
  if (type == "yarn") return ReadYarn(json, config);
  if (type == "linear") {
    config.rope_scaling.kind = RopeScaling::Kind::kLinear;
    ASSIGN_OR_RETURN(config.rope_scaling.factor, ReadFactor(json));
    return absl::OkStatus();
  }
  return json.Bad(
      key, absl::StrCat("\"", type, "\" is not supported; expected default, linear or yarn"));
}

absl::Status ReadTheta(const JsonFields& json, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.rope_theta, json.NumberOr("rope_theta", config.rope_theta));
  if (config.rope_theta <= 1 || config.rope_theta > kThetaMax) {
    return json.Bad("rope_theta", absl::StrCat("expected a number above 1, at most ", kThetaMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadRope(const JsonFields& json, ModelConfig& config) {
  RETURN_IF_ERROR(ReadTheta(json, config));
  if (json.Has("rope_parameters")) {
    ASSIGN_OR_RETURN(const JsonFields parameters, json.Object("rope_parameters"));
    RETURN_IF_ERROR(ReadTheta(parameters, config));
    return ReadScaling(parameters, config);
  }
  if (!json.Has("rope_scaling")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const JsonFields scaling, json.Object("rope_scaling"));
  return ReadScaling(scaling, config);
}

}  // namespace conclave
