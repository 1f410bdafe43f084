// A model that a core may be told of when nothing is computed.
#pragma once

#include "coordinator/config.h"

namespace conclave {

inline ServedModel SmallModel() {
  ServedModel model;
  model.facts = {.identity = 1,
                 .name = "m",
                 .vocab = 100,
                 .context = 64,
                 .moe_layers = 1,
                 .experts = 4,
                 .topk = 2,
                 .expert_bytes = 8};
  return model;
}

}  // namespace conclave
