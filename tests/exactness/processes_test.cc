// The same bits from real processes: conclave-coordinator and conclave-worker as they are shipped,
// over sockets and UCX, one worker of role expert.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/edge/credentials.h"
#include "exchange/backends.h"
#include "tests/exactness/golden_stream.h"
#include "tests/exactness/program.h"

namespace conclave {
namespace {

// First of all, before this process has threads of gRPC's: it forks.
TEST(Processes, FourWorkersOverUcx) {
  if (!std::ranges::count(ExchangeBackendsHere(), "ucx")) GTEST_SKIP() << "built without UCX";
  Program coordinator({"conclave-coordinator", "--model", TalesDir(), "--workers", "4", "--listen",
                       "127.0.0.1:0", "--admin", "127.0.0.1:0"});
  const std::string listening = coordinator.Await("grpc port ");
  ASSERT_NE(listening, "") << coordinator.all();
  const std::string address = "127.0.0.1:" + std::to_string(NumberAfter(listening, "grpc port "));
  std::vector<std::unique_ptr<Program>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<Program>(
        std::vector<std::string>{"conclave-worker", "--model", TalesDir(), "--coordinator", address,
                                 "--role", i == 2 ? "expert" : "worker", "--exchange", "ucx",
                                 "--threads", "1", "--kv-memory", "64MiB"}));
  }
  const std::string ready = coordinator.Await("ready to serve");
  ASSERT_NE(ready, "") << coordinator.all() << workers[0]->all();

  const auto client = v1::InferenceService::NewStub(ChannelTo(address));
  const std::vector<Answer> alone =
      AskInTurn(*client, {GoldenRequests().begin(), GoldenRequests().begin() + 4});
  const std::vector<Answer> together = AskTogether(*client, ManyRequests(30), 21);
  ExpectGolden(KernelChoice::kAuto, alone);
  ExpectGolden(KernelChoice::kAuto, together);
}

}  // namespace
}  // namespace conclave
