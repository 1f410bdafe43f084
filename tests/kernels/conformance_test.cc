// Every kernel set of this machine against every spec. CONCLAVE_REQUIRE_KERNELS=ref,avx512 makes a
// missing set a failure; without it a missing set is reported as skipped.
#include "tests/kernels/conformance.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace conclave::conformance {
namespace {

constexpr const char* kSets[] = {"ref", "avx2", "avx512", "cuda"};

bool Required(const std::string& name) {
  const char* required = std::getenv("CONCLAVE_REQUIRE_KERNELS");
  if (required == nullptr) return false;
  const std::vector<std::string> names = absl::StrSplit(required, ',');
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Conformance : public testing::TestWithParam<std::tuple<const char*, std::string>> {};

TEST_P(Conformance, HoldsForEveryShapeAndInput) {
  const std::string set = std::get<0>(GetParam());
  const Spec& spec = SpecNamed(std::get<1>(GetParam()));
  std::vector<std::string> filled;
  const absl::StatusOr<KernelSet> kernels = SelectKernels(ParseKernelChoice(set).value(), filled);
  if (!kernels.ok()) {
    ASSERT_FALSE(Required(set)) << kernels.status();
    GTEST_SKIP() << kernels.status();
  }
  const std::vector<std::string> findings = Judge(spec, *kernels);
  EXPECT_TRUE(findings.empty()) << findings.size() << " findings\n"
                                << absl::StrJoin(findings, "\n");
}

std::vector<std::string> SpecNames() {
  std::vector<std::string> names;
  for (const Spec& spec : AllSpecs()) names.emplace_back(spec.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Sets, Conformance,
                         testing::Combine(testing::ValuesIn(kSets), testing::ValuesIn(SpecNames())),
                         [](const auto& param_info) {
                           return std::string(std::get<0>(param_info.param)) + "_" +
                                  std::get<1>(param_info.param);
                         });

TEST(RequiredKernels, AreNamesThatExist) {
  const char* required = std::getenv("CONCLAVE_REQUIRE_KERNELS");
  if (required == nullptr) return;
  for (const auto name : absl::StrSplit(required, ',')) {
    EXPECT_TRUE(ParseKernelChoice(std::string(name)).ok()) << name;
  }
}

}  // namespace
}  // namespace conclave::conformance
