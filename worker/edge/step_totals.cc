#include "worker/edge/step_totals.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

namespace conclave {

StepTotals::StepTotals() {
  totals_.phases.resize(std::size(kPhaseNames));
  for (std::size_t i = 0; i < totals_.phases.size(); ++i) {
    totals_.phases[i].phase = static_cast<std::uint8_t>(i);
  }
}

void StepTotals::Add(const StepResult& result) {
  std::lock_guard lock(mutex_);
  ++totals_.steps;
  totals_.bytes_sent += result.bytes_sent;
  totals_.bytes_received += result.bytes_received;
  for (const PhaseTime& time : result.phases) {
    if (time.phase >= totals_.phases.size()) continue;
    PhaseTime& total = totals_.phases[time.phase];
    total.micros += time.micros;
    total.bytes += time.bytes;
    total.ops += time.ops;
  }
}

WorkerReport StepTotals::Get() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

prometheus::ClientMetric Number(MetricType type, double value) {
  prometheus::ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

}  // namespace

std::string RenderMetrics(const WorkerReport& report) {
  std::vector<MetricFamily> page;
  const auto one = [&page](const char* name, const char* help, MetricType type, auto value) {
    page.push_back({name, help, type, {Number(type, static_cast<double>(value))}});
  };
  one("conclave_worker_ready", "1 when experts are loaded and the epoch is in force",
      MetricType::Gauge, report.ready);
  one("conclave_worker_linked", "1 when the coordinator answers", MetricType::Gauge, report.linked);
  one("conclave_worker_epoch", "Membership and placement in force", MetricType::Gauge,
      report.epoch.number);
  one("conclave_worker_resident_bytes", "Resident memory", MetricType::Gauge, report.rss_bytes);
  one("conclave_worker_weights_bytes", "Packed weights held", MetricType::Gauge,
      report.weights_bytes);
  one("conclave_worker_kv_bytes", "KV cache reserved", MetricType::Gauge, report.kv_bytes);
  one("conclave_worker_steps_total", "Steps run", MetricType::Counter, report.steps);
  one("conclave_worker_exchange_sent_bytes_total", "Bytes sent to other workers",
      MetricType::Counter, report.bytes_sent);
  one("conclave_worker_exchange_received_bytes_total", "Bytes received from other workers",
      MetricType::Counter, report.bytes_received);
  MetricFamily seconds = {
      "conclave_worker_phase_seconds_total", "Time in a phase", MetricType::Counter, {}};
  MetricFamily bytes = {"conclave_worker_phase_bytes_total",
                        "Bytes read and written in a phase",
                        MetricType::Counter,
                        {}};
  for (const PhaseTime& phase : report.phases) {
    const char* const name = kPhaseNames[phase.phase];
    auto time = Number(MetricType::Counter, static_cast<double>(phase.micros) / 1e6);
    time.label.push_back({"phase", name});
    seconds.metric.push_back(std::move(time));
    auto moved = Number(MetricType::Counter, static_cast<double>(phase.bytes));
    moved.label.push_back({"phase", name});
    bytes.metric.push_back(std::move(moved));
  }
  page.push_back(std::move(seconds));
  page.push_back(std::move(bytes));
  return prometheus::TextSerializer().Serialize(page);
}

}  // namespace conclave
