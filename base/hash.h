// Hashes for digests and checksums: stable across machines and versions, not cryptographic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace conclave {

// 64-bit hash of bytes (our own: four lanes of multiply-xorshift over 32-byte blocks, so that large
// buffers run at memory speed; the tail and the length are folded last).
std::uint64_t HashBytes(std::span<const std::byte> bytes, std::uint64_t seed = 0);
std::uint64_t HashBytes(std::string_view text, std::uint64_t seed = 0);

// Folds one more 64-bit value into a running digest. Order matters.
std::uint64_t Mix(std::uint64_t digest, std::uint64_t value);

}  // namespace conclave
