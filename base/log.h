// How edges log without naming a library: the root passes a function. May be called from any
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace conclave {

enum class LogLevel : std::uint8_t { kInfo, kWarning, kError };
using LogFn = std::function<void(LogLevel, std::string_view)>;

}  // namespace conclave
