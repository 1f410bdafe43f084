#include "base/hash.h"

#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace conclave {
namespace {

TEST(Hash, EveryByteAndTheLengthCount) {
  std::vector<std::byte> bytes(97);
  const std::uint64_t before = HashBytes(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= std::byte{1};
    EXPECT_NE(HashBytes(bytes), before) << i;
    bytes[i] ^= std::byte{1};
  }
  std::set<std::uint64_t> seen;
  const std::string zeros(200, '\0');
  for (std::size_t n = 0; n <= zeros.size(); ++n)
    seen.insert(HashBytes(std::string_view(zeros).substr(0, n)));
  EXPECT_EQ(seen.size(), zeros.size() + 1);
}

TEST(Hash, IsTheSameOnEveryMachine) {
  // A change here breaks rolling upgrades: digests of two versions would disagree.
  EXPECT_EQ(HashBytes(std::string_view("conclave")), HashBytes(std::string_view("conclave")));
  EXPECT_NE(HashBytes(std::string_view("conclave"), 1), HashBytes(std::string_view("conclave"), 2));
  EXPECT_NE(Mix(Mix(0, 1), 2), Mix(Mix(0, 2), 1));
}

}  // namespace
}  // namespace conclave
