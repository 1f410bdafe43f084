// Looks up rows of the embedding table.
//
//   ids    [rows]            each in 0..table.rows-1 (the caller checked)
//   table  [vocab, hidden]   as stored in the file: bf16, f16 or f32, any alignment
//   out    [rows, hidden]    float, exact widening
//
// Aliasing: none. Determinism: a row depends on its id alone.
#pragma once

#include <span>

#include "base/ids.h"
#include "base/tensor_view.h"
#include "base/views.h"
#include "kernels/lane.h"

namespace conclave {

struct EmbedArgs {
  std::span<const TokenId> ids;
  TensorView table;
  MatrixView<float> out;
};
using EmbedFn = void (*)(const EmbedArgs&, const Lane&);

}  // namespace conclave
