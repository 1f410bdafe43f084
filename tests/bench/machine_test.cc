// Readings are not judged here (a test machine may be busy), only that they are readings: finite,
// positive where the CPU has the instruction, zero where it does not.
#include "bench/machine/machine.h"

#include <vector>

#include "bench/machine/probe.h"
#include "bench/spinning_lanes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using ::testing::Each;

const Probe& ProbeHere() {
  if (const Probe* probe = Avx512ProbeOrNull()) return *probe;
  if (const Probe* probe = Avx2ProbeOrNull()) return *probe;
  return kPlainProbe;
}

// Below what any lane can do: no loop may be optimised away.
void ExpectReading(double value, bool present) {
  EXPECT_LT(value, 1e5);
  if (present) {
    EXPECT_GT(value, 0);
  } else {
    EXPECT_EQ(value, 0);
  }
}

TEST(MeasureMachine, ReadsWhatTheCpuHas) {
  SoloLanes lanes;
  const MachineReading reading = MeasureMachine(lanes, 8);
  const Probe& probe = ProbeHere();
  ExpectReading(reading.read_gbps, true);
  ExpectReading(reading.int8_gops, probe.int8.run != nullptr);
  ExpectReading(reading.bf16_gflops, probe.bf16.run != nullptr);
  ExpectReading(reading.fp32_gflops, probe.fp32.run != nullptr);
}

TEST(MachineMeter, MeasuresAgainAndAgain) {
  SoloLanes lanes;
  MachineMeter meter;
  for (int i = 0; i < 3; ++i) ExpectReading(meter.ReadGbps(lanes, 1), true);
}

TEST(SpinningLanes, RunsEveryLaneOnceAndSharesTheTicket) {
  SpinningLanes lanes(3);
  for (int call = 0; call < 20; ++call) {
    std::vector<int> ran(3, 0);
    std::vector<int> taken(50, 0);
    lanes.Run([&](const Lane& lane) {
      EXPECT_EQ(lane.count, 3);
      ++ran[static_cast<std::size_t>(lane.index)];
      for (auto t = static_cast<std::size_t>(lane.Take()); t < taken.size();
           t = static_cast<std::size_t>(lane.Take())) {
        ++taken[t];
      }
    });
    EXPECT_THAT(ran, Each(1));
    EXPECT_THAT(taken, Each(1));
  }
}

}  // namespace
}  // namespace conclave
