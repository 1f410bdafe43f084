// What experts and workers did lately, for placing experts: sums that fade, so that what happened
// five minutes ago counts half of what happens now.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "protocol/plan.h"

namespace conclave {

// What a worker's experts cost it.
struct ExpertWork {
  double micros = 0;
  double bytes = 0;  // read: weights and rows
  double ops = 0;

  void Add(std::span<const PhaseTime> phases);
  void Fade(double factor);
};

class RecentLoad {
 public:
  // Rows run by [moe layers, experts], as one worker reports them; empty: it reports none now.
  void Add(std::span<const std::uint32_t> expert_rows);
  // Call on every tick. The factor by which all sums have faded; the sums of workers must, too.
  double Fade(Micros now);

  std::span<const float> expert_rows() const { return expert_rows_; }  // may be empty
  double rows() const { return rows_; }                                // their sum
  double covered(Micros now) const;  // microseconds that the sums speak of

 private:
  std::vector<float> expert_rows_;
  double rows_ = 0;
  double covered_ = 0;
  Micros faded_at_ = 0;
};

// What is known of a worker's speed.
struct WorkerPace {
  std::int32_t threads = 0;  // 0: unknown
  ExpertWork work;
};
// How fast each runs experts, relative to the others; the mean of those that were measured is about
// 1. A worker that was measured for too short a time is judged by its threads. Differences below a
// fifth are noise, and nobody is taken for more than four times faster or slower.
std::vector<double> RelativeSpeeds(std::span<const WorkerPace> paces);

}  // namespace conclave
