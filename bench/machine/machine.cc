#include "bench/machine/machine.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/check.h"
#include "bench/machine/probe.h"

namespace conclave {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

const Probe& ProbeHere() {
  if (const Probe* probe = Avx512ProbeOrNull()) return *probe;
  if (const Probe* probe = Avx2ProbeOrNull()) return *probe;
  return kPlainProbe;
}

// Four times the last-level cache, within 256 MiB .. 2 GiB.
std::size_t ReadBytes() {
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  constexpr std::size_t kMin = std::size_t{256} << 20;
  constexpr std::size_t kMax = std::size_t{2} << 30;
  return std::clamp(static_cast<std::size_t>(std::max(cache, 0L)) * 4, kMin, kMax);
}

double BestGops(const Throughput& throughput, Lanes& lanes, std::int64_t budget_ms) {
  if (throughput.run == nullptr) return 0;
  const double budget = static_cast<double>(budget_ms) * 1e-3;
  const double operations = throughput.operations_per_round * lanes.count();
  const Clock::time_point start = Clock::now();
  double best = 0;
  std::int64_t rounds = 4096;
  do {
    const Clock::time_point begin = Clock::now();
    lanes.Run([&](const Lane&) { throughput.run(rounds); });
    const double seconds = SecondsSince(begin);
    best = std::max(best, operations * static_cast<double>(rounds) / seconds * 1e-9);
    if (seconds < budget / 8) rounds *= 2;  // long enough that starting the lanes does not show
  } while (SecondsSince(start) < budget);
  return best;
}

}  // namespace

// Touched once, so that readings meet mapped pages.
struct MachineMeter::Memory {
  static constexpr std::size_t kPiece = std::size_t{1} << 20;

  Memory() : bytes(ReadBytes()) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CONCLAVE_CHECK(at != MAP_FAILED, "no memory to measure with: %zu bytes", bytes);
    madvise(at, bytes, MADV_HUGEPAGE);  // a hint; smaller pages only read slower
    std::memset(at, 1, bytes);
    data = static_cast<std::byte*>(at);
  }
  ~Memory() { munmap(data, bytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::byte* data = nullptr;
  std::size_t bytes;
  std::size_t next = 0;  // where the next reading begins: never what the last one left in a cache
};

MachineMeter::MachineMeter() : memory_(std::make_unique<Memory>()) {}
MachineMeter::~MachineMeter() = default;

double MachineMeter::ReadGbps(Lanes& lanes, std::int64_t budget_ms) {
  const Probe& probe = ProbeHere();
  const std::size_t pieces = memory_->bytes / Memory::kPiece;
  const std::size_t pieces_per_run = std::max<std::size_t>(pieces / 8, 1);
  const double budget = static_cast<double>(budget_ms) * 1e-3;
  const Clock::time_point start = Clock::now();
  std::size_t read = 0;
  double seconds = 0;
  do {
    lanes.Run([&](const Lane& lane) {
      for (auto p = static_cast<std::size_t>(lane.Take()); p < pieces_per_run;
           p = static_cast<std::size_t>(lane.Take())) {
        probe.read(memory_->data + (memory_->next + p) % pieces * Memory::kPiece, Memory::kPiece);
      }
    });
    memory_->next = (memory_->next + pieces_per_run) % pieces;
    read += pieces_per_run * Memory::kPiece;
    seconds = SecondsSince(start);
  } while (seconds < budget);
  return static_cast<double>(read) / seconds * 1e-9;
}

double MachineMeter::Int8Gops(Lanes& lanes, std::int64_t budget_ms) const {
  return BestGops(ProbeHere().int8, lanes, budget_ms);
}
double MachineMeter::Bf16Gflops(Lanes& lanes, std::int64_t budget_ms) const {
  return BestGops(ProbeHere().bf16, lanes, budget_ms);
}
double MachineMeter::Fp32Gflops(Lanes& lanes, std::int64_t budget_ms) const {
  return BestGops(ProbeHere().fp32, lanes, budget_ms);
}

MachineReading MeasureMachine(Lanes& lanes, std::int64_t budget_ms) {
  MachineMeter meter;
  const std::int64_t share = std::max<std::int64_t>(budget_ms / 4, 1);
  return {meter.ReadGbps(lanes, share), meter.Int8Gops(lanes, share),
          meter.Bf16Gflops(lanes, share), meter.Fp32Gflops(lanes, share)};
}

}  // namespace conclave
