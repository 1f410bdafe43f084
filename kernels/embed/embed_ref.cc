#include "kernels/embed/widen_ref.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {

void Embed(const EmbedArgs& args, const Lane& lane) {
  const auto rows = static_cast<std::int64_t>(args.ids.size());
  const Share share = ShareOf(rows, lane.index, lane.count);
  for (std::int64_t r = share.begin; r < share.end; ++r) {
    WidenRow(args.table, args.ids[static_cast<std::size_t>(r)], args.out.row(r));
  }
}

}  // namespace conclave::ref
