#include <gtest/gtest.h>

#include <thread>

#include "kernels/kernel_set.h"

namespace conclave {
namespace {

TEST(ParseKernelChoice, KnowsTheNamesOfTheCommandLine) {
  EXPECT_EQ(ParseKernelChoice("auto").value(), KernelChoice::kAuto);
  EXPECT_EQ(ParseKernelChoice("ref").value(), KernelChoice::kRef);
  EXPECT_EQ(ParseKernelChoice("avx2").value(), KernelChoice::kAvx2);
  EXPECT_EQ(ParseKernelChoice("avx512").value(), KernelChoice::kAvx512);
  EXPECT_EQ(ParseKernelChoice("cuda").value(), KernelChoice::kCuda);
}

TEST(ParseKernelChoice, RefusesOtherNamesAndSaysThem) {
  for (const char* name : {"", "AVX512", "avx", "ref "}) {
    const auto choice = ParseKernelChoice(name);
    EXPECT_EQ(choice.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_NE(choice.status().message().find(name), absl::string_view::npos);
  }
}

TEST(SelectKernels, AutoIsTheBestSetHere) {
  std::vector<std::string> filled;
  const auto set = SelectKernels(KernelChoice::kAuto, filled);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->name, KernelSetsHere().front());
  EXPECT_EQ(KernelSetsHere().back(), "ref");
}

TEST(SelectKernels, RefHasNoHoles) {
  std::vector<std::string> filled;
  const auto set = SelectKernels(KernelChoice::kRef, filled);
  ASSERT_TRUE(set.ok());
  EXPECT_TRUE(filled.empty());
  EXPECT_EQ(set->name, "ref");
}

TEST(SelectKernels, EveryPointerIsSetInWhatItReturns) {
  for (const std::string& name : KernelSetsHere()) {
    std::vector<std::string> filled;
    const auto set = SelectKernels(ParseKernelChoice(name).value(), filled);
    ASSERT_TRUE(set.ok()) << name;
    EXPECT_TRUE(set->packed_bytes && set->pack && set->packed_ffn_bytes && set->pack_ffn &&
                set->kv_block_bytes && set->embed && set->rms_norm && set->linear &&
                set->linear_add && set->qkv_finish && set->attention && set->router_topk &&
                set->ffn_up && set->ffn_down && set->combine && set->logit_stats)
        << name;
  }
}

TEST(SelectKernels, ACudaSetThatIsNotBuiltIsAFailureThatSaysWhatThereIs) {
  std::vector<std::string> filled;
  const auto set = SelectKernels(KernelChoice::kCuda, filled);
  ASSERT_EQ(set.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(set.status().message().find("cuda"), absl::string_view::npos);
  EXPECT_NE(set.status().message().find("ref"), absl::string_view::npos);
}

std::uint64_t FingerprintOnThread(const KernelSet& set) {
  std::uint64_t fingerprint = 0;  // a thread of its own, because it changes the float mode
  std::thread([&] { fingerprint = NumericsFingerprint(set); }).join();
  return fingerprint;
}

TEST(NumericsFingerprint, IsTheSameEveryTimeAndNotTheSameForOtherNumbers) {
  const std::uint64_t ref = FingerprintOnThread(kRefKernels);
  EXPECT_EQ(ref, FingerprintOnThread(kRefKernels));
  for (const std::string& name : KernelSetsHere()) {
    std::vector<std::string> filled;
    const auto set = SelectKernels(ParseKernelChoice(name).value(), filled);
    ASSERT_TRUE(set.ok());
    EXPECT_EQ(FingerprintOnThread(*set), FingerprintOnThread(*set)) << name;
    EXPECT_EQ(FingerprintOnThread(*set) == ref, name == "ref") << name;
  }
}

// The last bit of one logit's sum is enough.
TEST(NumericsFingerprint, SeesOneUnitInTheLastPlace) {
  KernelSet other = kRefKernels;
  other.combine = [](const CombineArgs& args, const Lane& lane) {
    kRefKernels.combine(args, lane);
    float& last = args.hidden.row(args.hidden.rows - 1)[args.hidden.cols - 1];
    last += last * 0x1p-23f;
  };
  EXPECT_NE(FingerprintOnThread(kRefKernels), FingerprintOnThread(other));
}

}  // namespace
}  // namespace conclave
