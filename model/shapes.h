// Shapes of real models by name, for random checkpoints and estimates. Pure.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/config.h"

namespace conclave {

std::vector<absl::string_view> ShapeNames();

// The shape's config with `layers` layers (0: as many as the shape has). InvalidArgument names
// "shape" or "layers".
absl::StatusOr<ModelConfig> NamedShape(absl::string_view name, int layers);

}  // namespace conclave
