#include "worker/edge/load_shard.h"

#include <thread>

#include "kernels/kernel_set.h"
#include "worker/edge/threads.h"

namespace conclave {

absl::StatusOr<std::unique_ptr<Shard>> LoadShard(const Shard::Args& args,
                                                 const ThreadPool::Options& lanes) {
  absl::StatusOr<std::unique_ptr<Shard>> shard;
  std::thread loads([&] {
    NameThisThread("loads");
    LowerThisThreadMore();
    SetComputeThreadFloatMode();  // this thread computes, too
    ThreadPool lowered(lanes);
    shard = Shard::Load(args, lowered);
  });
  loads.join();
  return shard;
}

}  // namespace conclave
