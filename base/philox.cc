#include "base/philox.h"

#include "base/check.h"

namespace conclave {

std::array<std::uint32_t, 4> Philox(std::uint64_t seed, std::uint64_t counter_low,
                                    std::uint64_t counter_high) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  std::array<std::uint32_t, 4> c = {
      static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
      static_cast<std::uint32_t>(counter_high), static_cast<std::uint32_t>(counter_high >> 32)};
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = kMultiplier0 * c[0];
    const std::uint64_t p1 = kMultiplier1 * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return c;
}

namespace {
double ToUnit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }
}  // namespace

double UniformAt(std::uint64_t seed, std::uint64_t position, std::uint64_t purpose) {
  const auto r = Philox(seed, position, purpose);
  return ToUnit((std::uint64_t{r[0]} << 32) | r[1]);
}

std::uint64_t Rng::Next() {
  const auto r = Philox(seed_, counter_++, stream_);
  return (std::uint64_t{r[0]} << 32) | r[1];
}

double Rng::Uniform() { return ToUnit(Next()); }

__extension__ using Wide = unsigned __int128;

std::uint64_t Rng::Below(std::uint64_t bound) {
  CONCLAVE_CHECK(bound >= 1);
  return static_cast<std::uint64_t>((static_cast<Wide>(Next()) * bound) >> 64);
}

double Rng::Normal() {
  double sum = 0;
  for (int i = 0; i < 6; ++i) {
    const std::uint64_t bits = Next();
    sum += static_cast<double>(bits >> 32) * 0x1p-32 +
           static_cast<double>(bits & 0xffffffffu) * 0x1p-32;
  }
  return sum - 6.0;  // twelve uniforms: variance 1
}

}  // namespace conclave
