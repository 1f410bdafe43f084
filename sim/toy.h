// The model of the simulated world: small enough that thousands of steps run in a second, and with
// everything that can go wrong in it: several experts per row, two MoE layers, tokens that are half
// a character, tokens without text.
#pragma once

#include <memory>
#include <vector>

#include "model/config.h"
#include "model/memory_tensors.h"
#include "protocol/control.h"
#include "text/text.h"

namespace conclave::sim {

// Ids 0..63: <end> (the end of a text), <start>, ten bytes of characters of two to four bytes, the
// letters, and pairs of letters. Every weight is a small multiple of a power of two.
struct Toy {
  ModelConfig config;
  std::unique_ptr<MemoryTensors> tensors;
  std::unique_ptr<Text> text;
  // A real worker's Hello, of whom its fingerprint of the kernels is dear. It knows the model too.
  Hello hello;
};
// `skewed`: the router sends every token to the same experts.
Toy MakeToy(bool skewed = false);

}  // namespace conclave::sim
