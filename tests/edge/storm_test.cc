// Ten thousand requests at once; clients that do not read; clients that vanish. Memory stays
// bounded, and whoever behaves keeps every bit.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <vector>

#include "base/edge/credentials.h"
#include "coordinator/edge/part_queue.h"
#include "grpcpp/create_channel_posix.h"
#include "rig.h"
#include "storm_client.h"

namespace conclave {
namespace {

v1::GenerateRequest WithLogprobs(const std::string& text, int max_tokens, int top) {
  v1::GenerateRequest request = Greedy(text, max_tokens);
  request.mutable_output()->set_logprobs(top);
  return request;
}

// Reads on another thread; the first token is there when Start returns.
class Witness {
 public:
  Witness(Rig& rig, const v1::GenerateRequest& request)
      : reader_(rig.client().Generate(&context_, request)) {
    v1::GenerateResponse response;
    if (reader_->Read(&response)) Gather(response, answer_);
    thread_ = std::thread([this] {
      v1::GenerateResponse next;
      while (reader_->Read(&next)) Gather(next, answer_);
      answer_.status = reader_->Finish();
    });
  }
  const Answer& Join() {
    thread_.join();
    return answer_;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
  Answer answer_;
  std::thread thread_;
};

void ExpectSame(const Answer& got, const Answer& want) {
  EXPECT_TRUE(got.status.ok()) << got.status.error_message();
  EXPECT_EQ(got.finished_messages, 1);
  EXPECT_EQ(got.ids, want.ids);
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.logprobs, want.logprobs);
}

v1::GetClusterResponse Cluster(Rig& rig) {
  const auto stub = v1::AdminService::NewStub(
      ChannelTo("127.0.0.1:" + std::to_string(rig.server().admin_port())));
  grpc::ClientContext context;
  v1::GetClusterResponse response;
  EXPECT_TRUE(stub->GetCluster(&context, {}, &response).ok());
  return response;
}

// 0 under sanitizers: they keep what is freed for a while, and shadows of it all.
std::int64_t ResidentBytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 0;
#endif
  std::int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Without what the allocator merely has at hand.
std::int64_t BytesAtRest() {
  malloc_trim(0);
  return ResidentBytes();
}

constexpr int kStorm = 10'000;

// Every call of a storm ended once: with its tokens, or with a word on when to come back.
int CheckStorm(const std::vector<std::unique_ptr<StormCall>>& calls, const Answer& alone) {
  int served = 0, wrong = 0;
  for (const auto& call : calls) {
    const Answer& answer = call->answer();
    bool good = call->endings() == 1;
    if (answer.status.ok()) {
      ++served;
      good = good && answer.finished_messages == 1 && answer.ids == alone.ids;
    } else {
      const ErrorFacts facts = FactsOf(answer.status);
      good = good && answer.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
             facts.reason == "OVERLOADED" && facts.domain == "conclave" && facts.retry &&
             answer.messages == 0;
    }
    wrong += good ? 0 : 1;
    if (!good && wrong < 5) ADD_FAILURE() << answer.status.error_message() << call->endings();
  }
  EXPECT_EQ(wrong, 0);
  return served;
}

TEST(Storm, TenThousandAtOnceEachEndOnceAndARunningStreamKeepsItsBits) {
  RigOptions options;
  options.core.running_max = 16;
  options.core.waiting_max = 256;
  Rig rig(options);
  const v1::GenerateRequest steady = WithLogprobs("Once upon a time", 1500, 2);
  const Answer steady_alone = Generate(rig.client(), steady);
  const v1::GenerateRequest small = Greedy("The fox", 2);
  const Answer small_alone = Generate(rig.client(), small);
  // What a call may cost both its ends together, and what the queues may hold besides.
  constexpr std::int64_t kCallBytes = 64 << 10;
  const std::int64_t queued = (options.core.waiting_max + options.core.running_max) *
                              static_cast<std::int64_t>(PartQueue::kMessageBytesMax);
  std::int64_t at_first = 0;
  for (int round = 0; round < 2; ++round) {
    const std::int64_t before = BytesAtRest();
    {
      Witness witness(rig, steady);
      StormFront front(kStorm);
      std::vector<std::unique_ptr<StormCall>> calls;
      for (int i = 0; i < kStorm; ++i) {
        calls.push_back(std::make_unique<StormCall>(rig.client(), small, front));
      }
      ASSERT_TRUE(front.Await()) << "some call never ended";
      const int served = CheckStorm(calls, small_alone);
      EXPECT_GE(served, 1);
      EXPECT_LT(served, kStorm) << "nobody was turned away";
      ExpectSame(witness.Join(), steady_alone);
      const std::int64_t grown = ResidentBytes() - before;
      EXPECT_LE(grown, kStorm * kCallBytes + queued);
    }
    EXPECT_TRUE(rig.AwaitLoad([](const auto& load) {
      return load.requests_running() == 0 && load.requests_waiting() == 0 &&
             load.kv_utilisation() == 0;
    }));
    ExpectSame(Generate(rig.client(), steady), steady_alone);
    if (round == 0) at_first = BytesAtRest();
  }
  // Nothing of the first storm is still held when the second has passed: less than 2 KiB a call.
  const std::int64_t kept = BytesAtRest() - at_first;
  EXPECT_LE(kept, std::int64_t{kStorm} * (2 << 10));
}

TEST(SlowReaders, CostBoundedMemoryAndNobodyElsesSteps) {
  Rig rig;
  constexpr int kReaders = 4, kTokens = 1500;
  const v1::GenerateRequest wordy = WithLogprobs("The fox", kTokens, 32);
  const v1::GenerateRequest steady = WithLogprobs("Once upon a time", 300, 2);
  const Answer wordy_alone = Generate(rig.client(), wordy);
  const Answer steady_alone = Generate(rig.client(), steady);
  grpc::ChannelArguments args;  // windows as HTTP/2 has them at first, and no growing
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65535);
  const auto stub = v1::InferenceService::NewStub(
      grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(rig.server().port()),
                                grpc::InsecureChannelCredentials(), args));
  const std::int64_t before = BytesAtRest();
  const std::uint64_t steps_before = Cluster(rig).steps();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> readers;
  for (int i = 0; i < kReaders; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(stub->Generate(contexts.back().get(), wordy));
  }
  // Nobody reads; all of them run to their end, and another stream does not notice.
  ExpectSame(Generate(rig.client(), steady), steady_alone);
  EXPECT_TRUE(rig.AwaitLoad([](const auto& load) {
    return load.requests_running() == 0 && load.requests_waiting() == 0;
  }));
  // One step carried a token of each: had anybody waited for a reader, the steps would be more
  // than one after the other.
  const std::uint64_t steps = Cluster(rig).steps() - steps_before;
  EXPECT_GE(steps, std::uint64_t{kTokens});
  EXPECT_LT(steps, std::uint64_t{2} * kTokens);
  // What waits is what the requests made: 33 logprobs a token, 12 bytes each, in vectors that may
  // have doubled; and as much again for what is on its way.
  const std::int64_t grown = ResidentBytes() - before;
  EXPECT_LE(grown, std::int64_t{kReaders} * kTokens * (16 + 32 * 12) * 4 + (std::int64_t{4} << 20));
  for (auto& reader : readers) {  // a message, then somebody else's whole request, and so on
    Answer late;
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
      Gather(response, late);
      if (late.messages % 64 == 1) {
        EXPECT_TRUE(Generate(rig.client(), Greedy("The bear", 1)).status.ok());
      }
    }
    late.status = reader->Finish();
    EXPECT_LT(late.messages, kTokens * 9 / 10) << "what waited was not joined";
    ExpectSame(late, wordy_alone);
  }
}

// How a client goes away, its first token read.
enum class Leaving { kCancels, kForgetsCallAndChannel, kLosesConnection };

class Vanishing : public ::testing::TestWithParam<Leaving> {};

int Connect(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
  return fd;
}

void AskAndVanish(int port, Leaving how) {
  const int fd = Connect(port);
  auto channel = grpc::CreateInsecureChannelFromFd("vanishing", fd);  // owns fd
  const auto stub = v1::InferenceService::NewStub(channel);
  channel.reset();
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, Greedy("The fox", 8000));
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  if (how == Leaving::kCancels) context.TryCancel();
  if (how == Leaving::kLosesConnection) shutdown(fd, SHUT_RDWR);
  if (how == Leaving::kForgetsCallAndChannel) return;
  while (reader->Read(&response)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_P(Vanishing, FreesItsBlocksLongBeforeItsEndAndDisturbsNobody) {
  Rig rig;
  const v1::GenerateRequest steady = WithLogprobs("Once upon a time", 1500, 2);
  const Answer alone = Generate(rig.client(), steady);
  const std::uint64_t steps_before = Cluster(rig).steps();
  Witness witness(rig, steady);
  AskAndVanish(rig.server().port(), GetParam());
  EXPECT_TRUE(rig.AwaitLoad([](const auto& load) { return load.requests_running() <= 1; }));
  ExpectSame(witness.Join(), alone);
  EXPECT_TRUE(rig.AwaitLoad(
      [](const auto& load) { return load.requests_running() == 0 && load.kv_utilisation() == 0; }));
  // What is said of each worker is of the last tick, a moment behind the load.
  v1::GetClusterResponse cluster = Cluster(rig);
  for (int i = 0; i < 500 && cluster.workers(0).kv_blocks_used() != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    cluster = Cluster(rig);
  }
  EXPECT_EQ(cluster.workers(0).kv_blocks_used(), 0);
  // It wanted 8000 steps.
  EXPECT_LT(cluster.steps() - steps_before, 4000u);
}

INSTANTIATE_TEST_SUITE_P(Ways, Vanishing,
                         ::testing::Values(Leaving::kCancels, Leaving::kForgetsCallAndChannel,
                                           Leaving::kLosesConnection));

}  // namespace
}  // namespace conclave
