#include "torture/deed.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace conclave::torture {

const char* NameOf(DeedKind kind) {
  switch (kind) {
    case DeedKind::kCoordinator:
      return "coordinator";
    case DeedKind::kPartition:
      return "partition";
    case DeedKind::kWedge:
      return "wedge";
    case DeedKind::kHang:
      return "hang";
    case DeedKind::kKill:
      return "kill";
    case DeedKind::kDrain:
      return "drain";
    case DeedKind::kJoin:
      return "join";
    case DeedKind::kBadJoin:
      return "bad-join";
  }
  return "";
}

absl::StatusOr<std::vector<DeedKind>> ParseDeeds(std::string_view text) {
  std::vector<DeedKind> kinds;
  for (const absl::string_view word :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',', absl::SkipEmpty())) {
    const auto kind =
        std::ranges::find_if(kDeedKinds, [&](DeedKind k) { return NameOf(k) == word; });
    if (kind == kDeedKinds.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", word,
                       "' is no deed (--deeds): kill, hang, join, drain, wedge, "
                       "coordinator, partition, bad-join"));
    }
    if (std::ranges::find(kinds, *kind) == kinds.end()) kinds.push_back(*kind);
  }
  return kinds;
}

}  // namespace conclave::torture
