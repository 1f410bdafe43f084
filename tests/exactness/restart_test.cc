// The coordinator is killed while streams run, and started again: workers come back, clients ask
// again under the same ids for what they lack, and every answer has the bits of the undisturbed
// run.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/edge/credentials.h"
#include "exchange/backends.h"
#include "tests/exactness/golden_stream.h"
#include "tests/exactness/program.h"

namespace conclave {
namespace {

std::unique_ptr<Program> Coordinator(const std::string& listen) {
  return std::make_unique<Program>(
      std::vector<std::string>{"conclave-coordinator", "--model", TalesDir(), "--workers", "2",
                               "--listen", listen, "--admin", "127.0.0.1:0"});
}

TEST(Restart, StreamsGoOnWhereTheyBrokeOff) {
  if (!std::ranges::count(ExchangeBackendsHere(), "ucx")) GTEST_SKIP() << "built without UCX";
  auto coordinator = Coordinator("127.0.0.1:0");
  const std::string listening = coordinator->Await("grpc port ");
  ASSERT_NE(listening, "") << coordinator->all();
  const std::string address = "127.0.0.1:" + std::to_string(NumberAfter(listening, "grpc port "));
  std::vector<std::unique_ptr<Program>> workers;
  for (int i = 0; i < 2; ++i) {
    workers.push_back(std::make_unique<Program>(
        std::vector<std::string>{"conclave-worker", "--model", TalesDir(), "--coordinator", address,
                                 "--exchange", "ucx", "--threads", "1", "--kv-memory", "64MiB"}));
  }
  ASSERT_NE(coordinator->Await("ready to serve"), "") << coordinator->all() << workers[0]->all();

  const auto client = v1::InferenceService::NewStub(ChannelTo(address));
  const std::vector<v1::GenerateRequest> requests = ManyRequests(24);
  std::vector<Answer> answers(requests.size());
  std::atomic<int> tokens = 0;
  std::atomic<std::size_t> done = 0;
  std::vector<std::thread> readers;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    readers.emplace_back([&, i] {
      v1::GenerateRequest request = requests[i];
      request.set_request_id("r" + std::to_string(i));
      answers[i] = AskPatiently(*client, request, [&tokens](int count) {
        tokens += count;
        tokens.notify_all();
      });
      ++done;
      tokens += 1;
      tokens.notify_all();
    });
  }
  for (const int enough : {60, 250}) {
    for (int now = tokens; now < enough && done < readers.size(); now = tokens) tokens.wait(now);
    coordinator->Kill();
    coordinator = Coordinator(address);
  }
  for (std::thread& reader : readers) reader.join();

  int cuts = 0;
  for (const Answer& answer : answers) cuts += answer.cuts;
  EXPECT_GT(cuts, 0) << "nothing was under way when the coordinator was killed";
  ExpectGolden(KernelChoice::kAuto, answers);
  if (HasFailure()) ADD_FAILURE() << coordinator->all() << workers[0]->all() << workers[1]->all();
}

}  // namespace
}  // namespace conclave
