// What a worker loads before it shows itself.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/edge/thread_pool.h"
#include "worker/shard.h"

namespace conclave {

// Shard::Load on threads of its own, which `lanes` describes and which give way: nobody waits for
// this worker yet, and those that serve on the same machine keep their speed. Returns when it is
// done.
absl::StatusOr<std::unique_ptr<Shard>> LoadShard(const Shard::Args& args,
                                                 const ThreadPool::Options& lanes);

}  // namespace conclave
