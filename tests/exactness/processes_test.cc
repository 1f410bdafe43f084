// The same bits from real processes: conclave-coordinator and conclave-worker as they are shipped,
// over sockets and UCX, one worker of role expert.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/edge/credentials.h"
#include "conclave/v1/admin.grpc.pb.h"
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

// Experts are placed by the load that the golden requests made while the same requests run: the
// bits do not know it. One worker has role expert, so that shares of copies count, too.
TEST(Processes, TheSameBitsThroughARebalance) {
  // However slow the machine is, all three are in the first epoch.
  Program coordinator({"conclave-coordinator", "--model", TalesDir(), "--workers", "3",
                       "--gather-limit", "600s", "--rebalance", "manual", "--listen", "127.0.0.1:0",
                       "--admin", "127.0.0.1:0"});
  const std::string listening = coordinator.Await("grpc port ");
  ASSERT_NE(listening, "") << coordinator.all();
  const std::string address = "127.0.0.1:" + std::to_string(NumberAfter(listening, "grpc port "));
  std::vector<std::unique_ptr<Program>> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(std::make_unique<Program>(std::vector<std::string>{
        "conclave-worker", "--model", TalesDir(), "--coordinator", address, "--role",
        i == 2 ? "expert" : "worker", "--threads", "1", "--kv-memory", "64MiB"}));
  }
  ASSERT_NE(coordinator.Await("ready to serve"), "") << coordinator.all();
  const auto client = v1::InferenceService::NewStub(ChannelTo(address));
  const auto admin = v1::AdminService::NewStub(
      ChannelTo("127.0.0.1:" + std::to_string(NumberAfter(listening, "admin port "))));
  ExpectGolden(KernelChoice::kAuto, AskTogether(*client, ManyRequests(30), 22));

  std::vector<Answer> during;
  std::thread asks([&] { during = AskTogether(*client, ManyRequests(60), 23); });
  grpc::ClientContext context;
  v1::RebalanceResponse response;
  const grpc::Status status = admin->Rebalance(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_NE(response.text().find("experts are loaded anew"), std::string::npos) << response.text();
  EXPECT_NE(coordinator.Await("prepare 3 workers, because experts are placed by load"), "");
  asks.join();
  ExpectGolden(KernelChoice::kAuto, during);
  ExpectGolden(KernelChoice::kAuto, AskTogether(*client, ManyRequests(30), 24));

  grpc::ClientContext about;
  v1::GetClusterResponse cluster;
  ASSERT_TRUE(admin->GetCluster(&about, {}, &cluster).ok());
  EXPECT_EQ(cluster.last_epoch_change().kind(), "rebalance");
  EXPECT_EQ(cluster.last_epoch_change().cause(), "experts are placed by load");
}

}  // namespace
}  // namespace conclave
