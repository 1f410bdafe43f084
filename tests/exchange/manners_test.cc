// What a backend must not do: allocate while exchanging, or take over the process's signals.
#include <csignal>
#include <cstdlib>
#include <latch>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "exchange/backends.h"
#include "exchange/rig.h"
#include "gtest/gtest.h"

namespace {
thread_local bool counting = false;
thread_local int allocations = 0;
}  // namespace

// Replaces the program's: UCX's own malloc calls are C and not counted. Not inline, or the compiler
// pairs malloc with delete and objects.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations += counting ? 1 : 0;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace conclave {
namespace {

class OneBuffer final : public FrameSink {
 public:
  explicit OneBuffer(std::size_t bytes) : bytes_(bytes) {}
  std::span<std::byte> Reserve(Slot, std::size_t bytes) override {
    return std::span(bytes_).first(bytes);
  }

 private:
  std::vector<std::byte> bytes_;
};

class Manners : public testing::TestWithParam<BackendKind> {};

TEST_P(Manners, AnExchangeAllocatesNothing) {
  constexpr std::size_t kSizes[] = {64, 40000, 1 << 20};
  Rig rig(GetParam(), {0, 1});
  const std::vector<Peer> peers = rig.Peers();
  rig.Each([&](int i) {
    Party& party = rig.party(i);
    ASSERT_TRUE(party.Open(Epoch(1, 1), peers).ok());
    OneBuffer sink(1 << 20);
    const std::vector<std::byte> frame(1 << 20);
    for (int round = 0; round < 20; ++round) {
      for (const std::size_t bytes : kSizes) {
        const OutFrame out{Slot{1 - i}, {frame.data(), bytes}};
        counting = round >= 2;
        const absl::Status status = party.backend().Exchange({&out, 1}, sink, kLong);
        counting = false;
        ASSERT_TRUE(status.ok()) << status;
      }
    }
    EXPECT_EQ(allocations, 0) << "slot " << i;
  });
}

TEST_P(Manners, SignalsStayAsTheyWere) {
  Rig rig(GetParam(), {0});
  for (const int number : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGPIPE, SIGTERM}) {
    struct sigaction now {};
    ASSERT_EQ(sigaction(number, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, SIG_DFL) << number;
  }
}

TEST_P(Manners, NothingIsSaidOnStandardOutput) {
  testing::internal::CaptureStdout();
  {
    Rig rig(GetParam(), {0, 1});
    rig.ExpectWorks(Epoch(1, 1), 3);
    EXPECT_FALSE(rig.party(0).Exchange(1000).ok());
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

std::string KindName(const testing::TestParamInfo<BackendKind>& info) {
  return info.param.name + info.param.transports;
}
INSTANTIATE_TEST_SUITE_P(All, Manners, testing::ValuesIn(KindsHere()), KindName);

}  // namespace
}  // namespace conclave
