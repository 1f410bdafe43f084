#include "base/hash.h"

#include <cstring>

namespace conclave {
namespace {

constexpr std::uint64_t kPrimes[4] = {0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu, 0x165667b19e3779f9u,
                                      0xd6e8feb86659fd93u};

std::uint64_t Load(const std::byte* p) {
  std::uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

std::uint64_t Finish(std::uint64_t h) {
  h ^= h >> 32;
  h *= kPrimes[3];
  h ^= h >> 29;
  h *= kPrimes[0];
  return h ^ (h >> 32);
}

std::uint64_t Round(std::uint64_t lane, std::uint64_t value, std::uint64_t prime) {
  const std::uint64_t mixed = (lane ^ value) * prime;
  return mixed ^ (mixed >> 31);
}

}  // namespace

std::uint64_t HashBytes(std::span<const std::byte> bytes, std::uint64_t seed) {
  std::uint64_t lanes[4];
  for (int i = 0; i < 4; ++i) lanes[i] = seed ^ kPrimes[i];
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 32; left -= 32, p += 32) {
    for (int i = 0; i < 4; ++i) lanes[i] = Round(lanes[i], Load(p + 8 * i), kPrimes[i]);
  }
  std::byte tail[32] = {};
  if (left != 0) std::memcpy(tail, p, left);
  for (int i = 0; i < 4; ++i) lanes[i] = Round(lanes[i], Load(tail + 8 * i), kPrimes[i]);
  std::uint64_t digest = Finish(bytes.size() ^ seed);
  for (const std::uint64_t lane : lanes) digest = Mix(digest, lane);
  return digest;
}

std::uint64_t HashBytes(std::string_view text, std::uint64_t seed) {
  return HashBytes(std::as_bytes(std::span(text.data(), text.size())), seed);
}

std::uint64_t Mix(std::uint64_t digest, std::uint64_t value) {
  return Finish((digest * kPrimes[1]) ^ Finish(value + kPrimes[2]));
}

}  // namespace conclave
