// Seeded mutations of a real header: never a crash, never a broken promise. Each case replays from
// its number.
#include "tests/model/fuzz_safetensors.h"

#include <gtest/gtest.h>

#include <string>

#include "base/philox.h"
#include "tests/support/files.h"

namespace conclave {
namespace {

constexpr int kCases = 20000;

std::string Seed() {
  return SafetensorsBytes(
      R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"BF16","shape":[2,3],)"
      R"("data_offsets":[0,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("c":{"dtype":"F16","shape":[0],"data_offsets":[20,20]}})",
      20);
}

// Bytes that a header's parser looks at.
constexpr char kTelling[] = "{}[]\",:0123456789-.eE\\u\xff\x80\x00 ";

std::string Mutated(std::uint64_t number) {
  Rng rng(number, /*stream=*/77);
  std::string file = Seed();
  const std::uint64_t edits = 1 + rng.Below(4);
  for (std::uint64_t i = 0; i < edits && !file.empty(); ++i) {
    const auto at = static_cast<std::size_t>(rng.Below(file.size()));
    const auto length = static_cast<std::size_t>(1 + rng.Below(24));
    switch (rng.Below(6)) {
      case 0:
        file[at] = static_cast<char>(rng.Below(256));
        break;
      case 1:
        file[at] = kTelling[rng.Below(sizeof kTelling - 1)];
        break;
      case 2:
        file.erase(at, length);
        break;
      case 3:
        file.insert(at, file.substr(static_cast<std::size_t>(rng.Below(file.size())), length));
        break;
      case 4:
        file.resize(at);
        break;
      default:
        file[at] = static_cast<char>(file[at] ^ (1 << rng.Below(8)));
        break;
    }
  }
  // Half the time the size word is made to fit again, or the JSON would rarely be reached.
  if (rng.Below(2) == 0 && file.size() >= 28) {
    const std::size_t json = file.size() - 28;
    for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(json >> (8 * i));
  }
  return file;
}

TEST(FuzzSafetensors, SurvivesMutations) {
  for (std::uint64_t number = 0; number < kCases; ++number) {
    const std::string file = Mutated(number);
    SCOPED_TRACE(number);
    ASSERT_EQ(FuzzSafetensors(reinterpret_cast<const std::uint8_t*>(file.data()), file.size()), 0);
  }
}

TEST(FuzzSafetensors, SurvivesEveryByteAtEveryPlaceOfTheStructure) {
  const std::string seed = Seed();
  for (std::size_t at = 0; at < seed.size() - 20; ++at) {
    for (const char c : kTelling) {
      std::string file = seed;
      file[at] = c;
      FuzzSafetensors(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
    }
  }
}

}  // namespace
}  // namespace conclave
