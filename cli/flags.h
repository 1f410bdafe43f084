// Flags as every program of ours takes them: on the command line, else from the environment as
// CONCLAVE_FLAG_NAME, else from --config FILE (lines `flag-name = value`). Unknown keys are
// refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;  // also a bad configuration
inline constexpr int kExitInterrupted = 130;

// "4096", "64KiB", "1.5GiB"; no unit is bytes. InvalidArgument says what is taken.
absl::StatusOr<std::uint64_t> ParseSize(std::string_view text);
// "250ms", "1.5s", "10m"; a bare number is seconds.
absl::StatusOr<Micros> ParseDuration(std::string_view text);

CLI::Option* AddSize(CLI::App& app, const std::string& flag, std::optional<std::uint64_t>& into,
                     const std::string& help);
// The default is what `into` holds.
CLI::Option* AddDuration(CLI::App& app, const std::string& flag, Micros& into,
                         const std::string& help);
// Unset unless it is said.
CLI::Option* AddDuration(CLI::App& app, const std::string& flag, std::optional<Micros>& into,
                         const std::string& help);
// One of `names`; the default is what `into` holds.
CLI::Option* AddChoice(CLI::App& app, const std::string& flag, std::string& into,
                       const std::vector<std::string>& names, const std::string& help);

// Adds --config, --version and the environment, then parses. Nothing: go on. Otherwise the exit
// code: help and version went to standard output, a mistake to standard error as one line.
std::optional<int> ParseFlags(CLI::App& app, int argc, const char* const* argv);

// "CONCLAVE_KV_MEMORY" of "--kv-memory".
std::string EnvironmentName(std::string_view flag);

// Every flag with its value, as one line for the log: "listen=127.0.0.1:8470 threads=4 ...".
std::string EffectiveConfig(const CLI::App& app);

// One line on standard error: "PROGRAM: what went wrong".
void SayError(std::string_view program, std::string_view message);
// Says it, and gives kExitUsage for the caller's mistakes, kExitFailed for the world's.
int Fail(std::string_view program, const absl::Status& status);

}  // namespace conclave
