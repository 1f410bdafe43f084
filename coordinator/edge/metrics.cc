#include "coordinator/edge/metrics.h"

#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/edge/errors.h"

namespace conclave {
namespace {

using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Buckets = Histogram::BucketBoundaries;

const Buckets kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                    0.25,  0.5,   0.75, 1.0,  2.5,  5.0,  7.5,  10.0,
                                    20.0,  40.0,  80.0, 160., 640., 2560.};
const Buckets kInterTokenSeconds = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
                                    0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
const Buckets kRequestSeconds = {0.3,  0.5,  0.8,  1.0,  1.5,  2.0,   2.5,   5.0,   10.0,  15.0,
                                 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0};

double Seconds(Micros micros) { return static_cast<double>(micros) / 1e6; }

Histogram& NewHistogram(prometheus::Registry& registry, const char* name, const char* help,
                        const Buckets& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

// Collects families from numbers.
class Page {
 public:
  void Start(std::string name, std::string help, MetricType type) {
    families_.push_back({std::move(name), std::move(help), type, {}});
  }
  void Add(double value, std::vector<std::pair<std::string, std::string>> labels = {}) {
    ClientMetric metric;
    for (auto& [name, text] : labels) metric.label.push_back({std::move(name), std::move(text)});
    if (families_.back().type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families_.back().metric.push_back(std::move(metric));
  }
  void Gauge(std::string name, std::string help, double value) {
    Start(std::move(name), std::move(help), MetricType::Gauge);
    Add(value);
  }
  void Counter(std::string name, std::string help, std::uint64_t value) {
    Start(std::move(name), std::move(help), MetricType::Counter);
    Add(static_cast<double>(value));
  }
  std::vector<MetricFamily> families_;
};

void AddLoad(const ClusterStatus& status, Page& page) {
  page.Gauge("conclave_ready", "1 when every layer and expert has a live owner", status.ready);
  page.Gauge("conclave_epoch", "Membership and placement in force",
             static_cast<double>(status.epoch.number));
  page.Gauge("conclave_term", "Term of the coordinator that made the epoch in force",
             static_cast<double>(status.epoch.term));
  page.Gauge("conclave_num_requests_running", "Requests decoding or prefilling",
             status.requests_running);
  page.Gauge("conclave_num_requests_waiting", "Requests queued", status.requests_waiting);
  double used = 0, total = 0;
  for (const WorkerStatus& worker : status.workers) {
    used += worker.kv_blocks_used;
    total += worker.kv_blocks_total;
  }
  page.Gauge("conclave_kv_cache_usage_perc", "KV blocks held by sequences, 0 to 1",
             total > 0 ? used / total : 0);
}

void AddMembers(const ClusterStatus& status, Page& page) {
  page.Start("conclave_workers", "Workers that are members or joining, by state",
             MetricType::Gauge);
  const auto count = [&](const char* state) {
    return static_cast<double>(std::ranges::count(status.workers, state, &WorkerStatus::state));
  };
  for (const char* state : {"joining", "active", "draining", "suspect"}) {
    page.Add(count(state), {{"state", state}});
  }
  page.Gauge("conclave_suspects", "Workers that something speaks against now", count("suspect"));
  page.Gauge("conclave_epoch_change_under_way", "1 while the next epoch is being made",
             status.change.stage.empty() ? 0 : 1);
  page.Start("conclave_epoch_changes_total", "Epochs made, by what for", MetricType::Counter);
  for (std::size_t i = 0; i < status.changes.size(); ++i) {
    page.Add(static_cast<double>(status.changes[i]), {{"kind", kChangeKindNames[i]}});
  }
  page.Start("conclave_epoch_pause_seconds",
             "For how long no step was planned while an epoch began", MetricType::Histogram);
  ClientMetric pauses;
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < status.pauses.counts.size(); ++i) {
    below += status.pauses.counts[i];
    const double bound = i < std::size(kPauseBounds) ? Seconds(kPauseBounds[i])
                                                     : std::numeric_limits<double>::infinity();
    pauses.histogram.bucket.push_back({below, bound});
  }
  pauses.histogram.sample_count = below;
  pauses.histogram.sample_sum = Seconds(status.pauses.sum);
  page.families_.back().metric.push_back(std::move(pauses));
}

void AddTotals(const ClusterStatus& status, Page& page) {
  page.Counter("conclave_steps_total", "Steps run", status.steps);
  page.Counter("conclave_prompt_tokens_total", "Prompt tokens accepted", status.prompt_tokens);
  page.Counter("conclave_prefix_cache_hits_total", "Prompt tokens taken from the prefix cache",
               status.cached_prompt_tokens);
  page.Counter("conclave_generation_tokens_total", "Tokens emitted", status.emitted_tokens);
  page.Counter("conclave_num_preemptions_total", "Sequences put back to the queue",
               status.preemptions);
  page.Counter("conclave_requests_resumed_total", "Requests that began after tokens given before",
               status.resumed);
  page.Counter("conclave_requests_attached_total", "Streams that took a live request over",
               status.attached);
  page.Counter("conclave_exchange_sent_bytes_total", "Bytes that workers sent to one another",
               status.bytes_sent);
  page.Counter("conclave_exchange_received_bytes_total",
               "Bytes that workers received from one another", status.bytes_received);
  page.Counter("conclave_bad_router_rows_total",
               "Rows whose router logits are not numbers, once per layer",
               status.bad_router_rows);
  page.Start("conclave_request_success_total", "Requests ended, by reason", MetricType::Counter);
  for (std::size_t i = 0; i < std::size(kEndNames); ++i) {
    const std::uint64_t count = i < status.endings.size() ? status.endings[i] : 0;
    page.Add(static_cast<double>(count), {{"finished_reason", kEndNames[i]}});
  }
}

void AddPhases(const ClusterStatus& status, Page& page) {
  const std::size_t count = std::min(status.phases.size(), std::size(kPhaseNames));
  page.Start("conclave_step_phase_seconds_total", "Time in a phase, summed over workers",
             MetricType::Counter);
  for (std::size_t i = 0; i < count; ++i) {
    page.Add(static_cast<double>(status.phases[i].micros) / 1e6, {{"phase", kPhaseNames[i]}});
  }
  page.Start("conclave_step_phase_bytes_total", "Bytes read and written in a phase",
             MetricType::Counter);
  for (std::size_t i = 0; i < count; ++i) {
    page.Add(static_cast<double>(status.phases[i].bytes), {{"phase", kPhaseNames[i]}});
  }
}

void AddWorkers(const ClusterStatus& status, Page& page) {
  const auto each = [&](const char* name, const char* help, MetricType type, auto value_of) {
    page.Start(name, help, type);
    for (const WorkerStatus& worker : status.workers) {
      page.Add(static_cast<double>(value_of(worker)),
               {{"slot", absl::StrCat(worker.slot.value)}, {"state", worker.state}});
    }
  };
  each("conclave_worker_expert_rows_total", "Rows a worker's experts ran", MetricType::Counter,
       [](const WorkerStatus& worker) { return worker.expert_rows; });
  each("conclave_worker_rows_per_second", "Rows a worker runs", MetricType::Gauge,
       [](const WorkerStatus& worker) { return worker.rows_per_second; });
  each("conclave_worker_resident_bytes", "A worker's resident memory", MetricType::Gauge,
       [](const WorkerStatus& worker) { return worker.rss_bytes; });
  each("conclave_worker_experts", "(layer, expert) pairs a worker owns", MetricType::Gauge,
       [](const WorkerStatus& worker) { return worker.experts; });
}

// Aggregates only: 128 experts of 94 layers would be 12,032 series. The table is in GetCluster.
void AddExperts(const ClusterStatus& status, Page& page) {
  std::uint64_t total = 0;
  double worst = 0, sum = 0;
  int layers = 0;
  const std::size_t experts = static_cast<std::size_t>(std::max(1, status.model.experts));
  for (std::size_t at = 0; at + experts <= status.expert_rows.size(); at += experts) {
    std::uint64_t rows = 0, most = 0;
    for (std::size_t i = at; i < at + experts; ++i) {
      rows += status.expert_rows[i];
      most = std::max(most, status.expert_rows[i]);
    }
    total += rows;
    if (rows == 0) continue;
    const double ratio =
        static_cast<double>(most) * static_cast<double>(experts) / static_cast<double>(rows);
    worst = std::max(worst, ratio);
    sum += ratio;
    ++layers;
  }
  page.Counter("conclave_expert_rows_total", "Rows run by experts, one per row and choice", total);
  page.Start("conclave_expert_imbalance", "Busiest expert's rows over the mean of its layer",
             MetricType::Gauge);
  page.Add(worst, {{"over_layers", "max"}});
  page.Add(layers > 0 ? sum / layers : 0, {{"over_layers", "mean"}});
}

void AddEvents(const EventTimes& times, Page& page) {
  const std::vector<EventTimes::Summary> summaries = times.Summaries();
  const auto each = [&](const char* name, const char* help, MetricType type, auto value_of) {
    page.Start(name, help, type);
    for (const EventTimes::Summary& one : summaries) {
      page.Add(value_of(one), {{"event", one.name}});
    }
  };
  each("conclave_events_total", "Events that the coordinator's thread handled", MetricType::Counter,
       [](const auto& one) { return static_cast<double>(one.count); });
  each("conclave_event_seconds_total", "Time that it took for them", MetricType::Counter,
       [](const auto& one) { return one.seconds; });
  each("conclave_event_seconds_max", "The longest time that one of them took", MetricType::Gauge,
       [](const auto& one) { return one.us_max / 1e6; });
}

}  // namespace

struct Metrics::Histograms {
  prometheus::Registry registry;
  Histogram& first_token =
      NewHistogram(registry, "conclave_time_to_first_token_seconds",
                   "From the request's arrival to its first token", kFirstTokenSeconds);
  Histogram& inter_token = NewHistogram(registry, "conclave_inter_token_latency_seconds",
                                        "Between a request's tokens", kInterTokenSeconds);
  Histogram& request = NewHistogram(registry, "conclave_e2e_request_latency_seconds",
                                    "From the request's arrival to its end", kRequestSeconds);
};

Metrics::Metrics() : histograms_(std::make_unique<Histograms>()) {}
Metrics::~Metrics() = default;

void Metrics::Count(const StreamPart& part, const TokenTimes& times) {
  if (!part.ids.empty()) {
    std::size_t gaps = part.ids.size();
    if (times.last_token_at == 0) {
      histograms_->first_token.Observe(Seconds(times.now - times.asked_at));
      --gaps;
    }
    // Tokens that come together share the time since the last one.
    const Micros since = times.last_token_at == 0 ? 0 : times.now - times.last_token_at;
    for (std::size_t i = 0; i < gaps; ++i) {
      histograms_->inter_token.Observe(Seconds(since) / static_cast<double>(part.ids.size()));
    }
  }
  if (part.ending) histograms_->request.Observe(Seconds(times.now - times.asked_at));
}

std::string Metrics::Render(const ClusterStatus& status, Micros age,
                            const EventTimes& times) const {
  Page page;
  page.Gauge("conclave_status_age_seconds",
             "Age of the status that this page shows: more than a second means that the "
             "coordinator's thread stands still",
             Seconds(age));
  AddLoad(status, page);
  AddMembers(status, page);
  AddTotals(status, page);
  AddPhases(status, page);
  AddWorkers(status, page);
  AddExperts(status, page);
  AddEvents(times, page);
  std::string text = prometheus::TextSerializer().Serialize(page.families_);
  text += prometheus::TextSerializer().Serialize(histograms_->registry.Collect());
  return text;
}

}  // namespace conclave
