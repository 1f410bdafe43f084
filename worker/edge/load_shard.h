// What a worker loads before it shows itself.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/edge/thread_pool.h"
#include "worker/shard.h"

namespace conclave {

// Runs Shard::Load on threads of its own, described by `lanes`, at a low priority: nobody waits for
// this worker yet, and workers that serve on the same machine keep their speed. Returns when the
// shard is loaded.
absl::StatusOr<std::unique_ptr<Shard>> LoadShard(const Shard::Args& args,
                                                 const ThreadPool::Options& lanes);

}  // namespace conclave
