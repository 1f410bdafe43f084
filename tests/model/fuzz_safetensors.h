// The entry that a fuzzing engine calls, and the test with seeded mutations too.
#pragma once

#include <cstddef>
#include <cstdint>

namespace conclave {

// Parses any bytes; ends the process when something accepted breaks a promise of safetensors.h.
// Returns 0.
int FuzzSafetensors(const std::uint8_t* data, std::size_t size);

}  // namespace conclave
