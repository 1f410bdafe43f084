#include "bench/exchange_bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "bench/exchange_participants.h"
#include "exchange/backends.h"

namespace conclave {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kFrameBytesMax = std::size_t{256} << 20;
constexpr std::size_t kPlainCopyBytes = std::size_t{64} << 20;

absl::Status Check(const ExchangeBenchAsk& ask) {
  const std::vector<std::string> here = ExchangeBackendsHere();
  if (std::ranges::find(here, ask.backend) == here.end()) {
    return absl::InvalidArgumentError(absl::StrCat("backend: '", ask.backend, "' is not built in"));
  }
  if (ask.participants < 1 || ask.participants > kSlotsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("participants: ", ask.participants, ", expected 1 to ", kSlotsMax));
  }
  if (ask.repeats < 1) return absl::InvalidArgumentError("repeats: expected at least 1");
  if (ask.sizes.empty()) return absl::InvalidArgumentError("sizes: expected at least one");
  for (const std::size_t bytes : ask.sizes) {
    if (bytes >= 1 && bytes <= kFrameBytesMax) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("sizes: ", bytes, ", expected 1 to ", kFrameBytesMax));
  }
  return absl::OkStatus();
}

double QuantileOf(std::vector<double>& values, double quantile) {
  const auto last = static_cast<double>(values.size() - 1);
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(quantile * last + 0.5);
  std::ranges::nth_element(values, nth);
  return *nth;
}

// Median microseconds to copy `bytes`.
double CopyMicros(std::size_t bytes, int repeats) {
  const auto from = std::make_unique<std::byte[]>(bytes);
  const auto to = std::make_unique<std::byte[]>(bytes);
  std::memset(from.get(), 1, bytes);
  std::memset(to.get(), 2, bytes);
  std::vector<double> micros;
  for (int i = 0; i < repeats; ++i) {
    const Clock::time_point begin = Clock::now();
    std::memcpy(to.get(), from.get(), bytes);
    // The copy must not be optimised away; the compiler cannot see through this.
    asm volatile("" : : "r"(to.get()) : "memory");
    micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  return QuantileOf(micros, 0.5);
}

}  // namespace

absl::StatusOr<ExchangeBenchResult> RunExchangeBench(const ExchangeBenchAsk& ask) {
  RETURN_IF_ERROR(Check(ask));
  ExchangeBenchResult result;
  result.copy_gbps = static_cast<double>(kPlainCopyBytes) / CopyMicros(kPlainCopyBytes, 9) / 1e3;
  const auto peers = static_cast<std::size_t>(ask.participants - 1);
  std::vector<double> floors;
  for (const std::size_t bytes : ask.sizes) {
    floors.push_back(peers == 0 ? 0 : CopyMicros(bytes * peers, std::min(ask.repeats, 101)));
  }
  ASSIGN_OR_RETURN(std::vector<std::vector<double>> micros,
                   ask.backend == "local" ? TimeAmongThreads(ask) : TimeAmongProcesses(ask));
  for (std::size_t i = 0; i < ask.sizes.size(); ++i) {
    ExchangeBenchRow row;
    row.bytes = ask.sizes[i];
    row.median_us = QuantileOf(micros[i], 0.5);
    row.p99_us = QuantileOf(micros[i], 0.99);
    row.gbps = static_cast<double>(row.bytes * peers) / row.median_us / 1e3;
    row.copy_floor_us = floors[i];
    row.copy_fraction = row.copy_floor_us / row.median_us;
    result.rows.push_back(row);
  }
  return result;
}

}  // namespace conclave
