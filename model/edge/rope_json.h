// The rotary part of config.json: base frequency and scaling, both spellings.
#pragma once

#include "absl/status/status.h"
#include "model/config.h"
#include "model/edge/json_fields.h"

namespace conclave {

// Fills rope_theta and rope_scaling, and widens context where YaRN reaches beyond
// max_position_embeddings. Expects config.context to hold max_position_embeddings. Errors name the
// key.
absl::Status ReadRope(const JsonFields& json, ModelConfig& config);

}  // namespace conclave
