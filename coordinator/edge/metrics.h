// What Prometheus scrapes from the coordinator: names start with conclave_, suffixes and buckets
// are vLLM's. Histograms are filled as tokens pass; the rest is read from the core's status when
// asked.
#pragma once

#include <memory>
#include <string>

#include "coordinator/cluster_status.h"
#include "coordinator/edge/event_times.h"
#include "coordinator/events.h"

namespace conclave {

struct TokenTimes {
  Micros asked_at = 0;
  Micros last_token_at = 0;  // 0: this is the first
  Micros now = 0;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  // Any thread. One part on its way to a client.
  void Count(const StreamPart& part, const TokenTimes& times);
  // Everything, in Prometheus' text format. `age` of the snapshot that `status` was read from;
  // `times` of the strand.
  std::string Render(const ClusterStatus& status, Micros age, const EventTimes& times) const;

 private:
  struct Histograms;
  std::unique_ptr<Histograms> histograms_;
};

}  // namespace conclave
