// What LoadText needs beyond RenderTemplate of text/text.h.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "text/text.h"

namespace conclave {

// OK when the template compiles; else InvalidArgument with the line and what is wrong.
absl::Status CheckTemplate(std::string_view template_source);

}  // namespace conclave
