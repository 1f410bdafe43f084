// Which kernel set runs: decided once, at start.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "kernels/kernel_set.h"

namespace conclave {
namespace {

// Kernels that share a private layout are filled together: half of a pair would read the other
// set's bytes.
template <typename... Members>
void FillGroup(KernelSet& set, std::vector<std::string>& filled, std::string_view name,
               Members... members) {
  if (((set.*members != nullptr) && ...)) return;
  ((set.*members = kRefKernels.*members), ...);
  filled.emplace_back(name);
}

void FillHoles(KernelSet& set, std::vector<std::string>& filled) {
  FillGroup(set, filled, "linear", &KernelSet::packed_bytes, &KernelSet::pack, &KernelSet::linear,
            &KernelSet::linear_add);
  FillGroup(set, filled, "ffn", &KernelSet::packed_ffn_bytes, &KernelSet::pack_ffn,
            &KernelSet::ffn_up, &KernelSet::ffn_down);
  FillGroup(set, filled, "attention", &KernelSet::kv_block_bytes, &KernelSet::qkv_finish,
            &KernelSet::attention);
  FillGroup(set, filled, "embed", &KernelSet::embed);
  FillGroup(set, filled, "rms_norm", &KernelSet::rms_norm);
  FillGroup(set, filled, "router_topk", &KernelSet::router_topk);
  FillGroup(set, filled, "combine", &KernelSet::combine);
  FillGroup(set, filled, "logit_stats", &KernelSet::logit_stats);
}

const KernelSet* BestHere() {
  if (const KernelSet* set = Avx512KernelsOrNull()) return set;
  if (const KernelSet* set = Avx2KernelsOrNull()) return set;
  return &kRefKernels;
}

const KernelSet* FindOrNull(KernelChoice choice) {
  switch (choice) {
    case KernelChoice::kAuto:
      return BestHere();
    case KernelChoice::kRef:
      return &kRefKernels;
    case KernelChoice::kAvx2:
      return Avx2KernelsOrNull();
    case KernelChoice::kAvx512:
      return Avx512KernelsOrNull();
    case KernelChoice::kCuda:
      return nullptr;
  }
  return nullptr;
}

constexpr std::pair<std::string_view, KernelChoice> kChoices[] = {
    {"auto", KernelChoice::kAuto},     {"ref", KernelChoice::kRef},   {"avx2", KernelChoice::kAvx2},
    {"avx512", KernelChoice::kAvx512}, {"cuda", KernelChoice::kCuda},
};

std::string_view NameOf(KernelChoice choice) {
  for (const auto& [name, value] : kChoices) {
    if (value == choice) return name;
  }
  return "?";
}

}  // namespace

absl::StatusOr<KernelChoice> ParseKernelChoice(std::string_view name) {
  for (const auto& [known, choice] : kChoices) {
    if (known == name) return choice;
  }
  return absl::InvalidArgumentError(absl::StrCat("kernels \"", std::string(name),
                                                 "\": expected auto, ref, avx2, avx512 or cuda"));
}

absl::StatusOr<KernelSet> SelectKernels(KernelChoice choice, std::vector<std::string>& filled) {
  const KernelSet* found = FindOrNull(choice);
  if (found == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "kernels \"", std::string(NameOf(choice)),
        "\" are not built or not for this CPU; here: ", absl::StrJoin(KernelSetsHere(), ", ")));
  }
  KernelSet set = *found;
  FillHoles(set, filled);
  return set;
}

std::vector<std::string> KernelSetsHere() {
  std::vector<std::string> names;
  if (const KernelSet* set = Avx512KernelsOrNull()) names.emplace_back(set->name);
  if (const KernelSet* set = Avx2KernelsOrNull()) names.emplace_back(set->name);
  names.emplace_back(kRefKernels.name);
  return names;
}

}  // namespace conclave
