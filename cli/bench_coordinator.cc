#include "cli/bench_coordinator.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/target.h"
#include "coordinator/edge/server.h"
#include "coordinator/edge/translate.h"
#include "model/edge/checkpoint.h"
#include "text/toy_text.h"

namespace conclave {

LineSocket::~LineSocket() { close(fd_); }

bool LineSocket::Send(const std::string& line) {
  const std::string bytes = line + "\n";
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t sent = send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}

bool LineSocket::Receive(std::string& line) {
  std::size_t end = 0;
  while ((end = read_.find('\n')) == std::string::npos) {
    std::array<char, 4096> chunk;
    const ssize_t got = read(fd_, chunk.data(), chunk.size());
    if (got <= 0) return false;
    read_.append(chunk.data(), static_cast<std::size_t>(got));
  }
  line = read_.substr(0, end);
  read_.erase(0, end + 1);
  return true;
}

namespace {

struct BenchFlags {
  CoordinatorBench bench;
  std::string model;
  bool json = false;
};

// What this process has used and done so far.
struct Measurement {
  double cpu_s = 0;
  std::uint64_t tokens = 0;
  std::uint64_t rss_bytes = 0;
};

struct Measurements {
  Measurement serving, full, done;
  std::vector<EventTimes::Summary> events;  // until workers and clients have all come and gone
  double get_load_us = 0;  // of the thread that asks
  double status_us = 0;    // the same for everything that GetCluster and /metrics need
};

double CpuSeconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

Measurement Measure(const CoordinatorServer& server) {
  return {.cpu_s = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID),
          .tokens = server.snapshot()->emitted_tokens,
          .rss_bytes = ResidentBytes()};
}

template <typename Work>
double MicrosEach(int times, Work work) {
  const double before = CpuSeconds(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < times; ++i) work();
  return (CpuSeconds(CLOCK_THREAD_CPUTIME_ID) - before) * 1e6 / times;
}

void MeasureQuestions(const CoordinatorServer& server, Measurements& into) {
  std::size_t bytes = 0;  // so that nothing is optimised away
  into.get_load_us = MicrosEach(20'000, [&] { bytes += LoadOf(*server.snapshot()).ByteSizeLong(); });
  into.status_us = MicrosEach(100, [&] {
    const auto snapshot = server.snapshot();
    bytes += StatusFrom(*snapshot, snapshot->taken, ExpertLists::kOmit).workers.size();
  });
  if (bytes == 0) SayError("bench coordinator", "the status is empty");
}

// The model's text and vocabulary, with the shape that was asked for.
absl::StatusOr<OpenedModel> ModelFor(const BenchFlags& flags) {
  OpenedModel model;
  if (flags.model.empty()) {
    model.text = MakeToyText();
    model.config.name = "toy";
    model.config.vocab = kToyVocab;
  } else {
    ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(flags.model));
    model.config = std::move(checkpoint.config);
    ASSIGN_OR_RETURN(model.text, LoadText(flags.model));
  }
  const CoordinatorBench& bench = flags.bench;
  model.config.context = std::max(32'768, bench.prompt + bench.LongAnswer());
  model.config.experts = bench.experts;
  model.config.topk = bench.topk;
  model.config.moe_layers = bench.layers;
  model.config.layers.assign(static_cast<std::size_t>(bench.layers), LayerSpec{});
  model.facts = {.identity = 1,
                 .name = model.config.name,
                 .vocab = model.config.vocab,
                 .context = model.config.context,
                 .moe_layers = bench.layers,
                 .experts = bench.experts,
                 .topk = bench.topk,
                 .expert_bytes = 0};
  return model;
}

// Timeouts are those of a machine where the simulated workers share the processors with everybody.
CoordinatorOptions OptionsFor(const CoordinatorBench& bench) {
  CoordinatorOptions options;
  options.core.workers_wanted = bench.workers;
  options.core.worker_rows_max = bench.rows;
  // The budget is rows alone: time, which here is only the coordinator's own, does not bound it.
  options.core.first_rows = bench.rows;
  options.core.step_target = Micros{60'000'000};
  options.core.running_max = std::min(bench.streams, kSequencesMax);
  options.core.waiting_max = bench.streams;
  options.core.waiting_tokens_max = std::int64_t{2} * bench.streams * bench.prompt;
  options.core.heartbeat_limit = 30'000'000;
  options.core.wedge_limit = 60'000'000;
  options.core.link_limit = 60'000'000;
  options.listen = "127.0.0.1:0";
  options.admin = "127.0.0.1:0";
  options.event_clock = CLOCK_THREAD_CPUTIME_ID;
  options.log = [](LogLevel, std::string_view) {};
  return options;
}

// Does what the load's process says until it reports.
absl::StatusOr<LoadReport> Attend(const CoordinatorServer& server, LineSocket& load,
                                  Measurements& into) {
  NewsLine news;
  load.Send(absl::StrCat(server.port(), " ", server.admin_port()));
  std::string line;
  while (load.Receive(line)) {
    if (line.starts_with("news ")) {
      news.Show(absl::StrCat(line.substr(5), "; ", server.snapshot()->emitted_tokens, " tokens"));
    } else if (line.starts_with("mark ")) {
      const std::string mark = line.substr(5);
      if (mark == kMarkServing) into.serving = Measure(server);
      if (mark == kMarkFull) into.full = Measure(server);
      if (mark == kMarkDone) {
        into.done = Measure(server);
        MeasureQuestions(server, into);
      }
      if (mark == kMarkChanged) into.events = server.event_times().Summaries();
      load.Send("taken");
    } else if (line.starts_with("report ")) {
      const nlohmann::json object = nlohmann::json::parse(line.substr(7));
      return LoadReport{.steps = object["steps"],
                        .rows_per_step = object["rows_per_step"],
                        .fill_min = object["fill_min"],
                        .fill_mean = object["fill_mean"],
                        .steps_filled = object["steps_filled"],
                        .failures = object["failures"],
                        .first_failure = object["first_failure"]};
    }
  }
  return absl::UnavailableError("the process of the simulated workers is gone");
}

nlohmann::ordered_json ResultJson(const BenchFlags& flags, const Measurements& measured,
                                  const LoadReport& report) {
  const CoordinatorBench& bench = flags.bench;
  // From the first request to the last token: translation, prompts and writes included.
  const double cpu_s = measured.done.cpu_s - measured.serving.cpu_s;
  const auto tokens = static_cast<double>(measured.done.tokens - measured.serving.tokens);
  const std::uint64_t before = measured.serving.rss_bytes, after = measured.full.rss_bytes;
  nlohmann::ordered_json object = {
      {"workers", bench.workers},
      {"steps", report.steps},
      {"rows_per_step", report.rows_per_step},
      {"worker_fill", {{"min", report.fill_min}, {"mean", report.fill_mean}}},
      {"tokens_per_core_second", cpu_s > 0 ? tokens / cpu_s : 0},
      {"events", nlohmann::ordered_json::array()},
      {"status_us", measured.get_load_us},
      {"rss_bytes", after},
      {"bytes_per_stream",
       after > before ? (after - before) / static_cast<std::uint64_t>(bench.streams) : 0},
      {"cluster_status_us", measured.status_us},
      {"tokens", tokens},
      {"cpu_seconds", cpu_s},
      {"steps_with_prompts_for_all", report.steps_filled},
      {"streams", bench.streams},
      {"text", flags.model.empty() ? "toy" : flags.model},
      {"failures", report.failures},
      {"first_failure", report.first_failure}};
  for (const EventTimes::Summary& event : measured.events) {
    object["events"].push_back({{"name", event.name},
                                {"count", event.count},
                                {"us_p50", event.us_p50},
                                {"us_p99", event.us_p99},
                                {"us_max", event.us_max}});
  }
  return object;
}

constexpr double kEventP99LimitUs = 1000, kEventMaxLimitUs = 5000;

void PrintTable(const nlohmann::ordered_json& result) {
  std::cout << absl::StreamFormat(
      "%d workers, %d streams, text %s\n"
      "%10.0f tokens per second of one core (%.0f tokens, %.2f s of all threads)\n"
      "%10.1f rows per step; %.2f of a worker's budget at least, %.2f on average, while prompts wait\n"
      "%10.2f us for GetLoad, %.1f us for the whole status, on the thread that asks\n"
      "%10d bytes per stream, %d bytes resident\n\n",
      result["workers"].get<int>(), result["streams"].get<int>(),
      result["text"].get<std::string>(), result["tokens_per_core_second"].get<double>(),
      result["tokens"].get<double>(), result["cpu_seconds"].get<double>(),
      result["rows_per_step"].get<double>(), result["worker_fill"]["min"].get<double>(),
      result["worker_fill"]["mean"].get<double>(), result["status_us"].get<double>(),
      result["cluster_status_us"].get<double>(), result["bytes_per_stream"].get<std::uint64_t>(),
      result["rss_bytes"].get<std::uint64_t>());
  std::cout << absl::StreamFormat("%-16s %10s %10s %10s %10s   limits: p99 %.0f us, max %.0f us\n",
                                  "event", "count", "p50 us", "p99 us", "max us", kEventP99LimitUs,
                                  kEventMaxLimitUs);
  for (const auto& event : result["events"]) {
    const double p99 = event["us_p99"], max = event["us_max"];
    std::cout << absl::StreamFormat("%-16s %10d %10.1f %10.1f %10.1f%s\n",
                                    event["name"].get<std::string>(),
                                    event["count"].get<std::uint64_t>(),
                                    event["us_p50"].get<double>(), p99, max,
                                    p99 > kEventP99LimitUs || max > kEventMaxLimitUs
                                        ? "   above the limit"
                                        : "");
  }
}

void AddFlags(CLI::App& app, BenchFlags& flags) {
  const auto number = [&app](const char* flag, int& into, int most, const char* help) {
    app.add_option(flag, into, help)->check(CLI::Range(1, most))->capture_default_str();
  };
  CoordinatorBench& bench = flags.bench;
  number("--workers", bench.workers, kSlotsMax, "simulated workers");
  number("--layers", bench.layers, kLayersMax, "MoE layers");
  number("--experts", bench.experts, kExpertsMax, "experts of each");
  number("--topk", bench.topk, kTopkMax, "experts of a row");
  number("--streams", bench.streams, 1 << 16, "clients at one time");
  number("--prompt", bench.prompt, 1 << 20, "tokens of each prompt, random ones");
  number("--generate", bench.generate, 1 << 16, "tokens of each answer");
  number("--rows", bench.rows, kWorkerRowsMax, "row budget of each worker's step");
  app.add_option("--model", flags.model,
                 "model whose tokenizer makes the text; without it a toy text does")
      ->type_name("DIR");
  app.add_option("--seed", bench.seed, "of the prompts")->capture_default_str();
  app.add_flag("--json", flags.json, "one JSON object instead of a table");
}

int RunParent(const char* program, const BenchFlags& flags, OpenedModel model, LineSocket& load) {
  auto server = CoordinatorServer::Start(OptionsFor(flags.bench), std::move(model));
  if (!server.ok()) return Fail(program, server.status());
  Measurements measured;
  const auto report = Attend(**server, load, measured);
  if (!report.ok()) return Fail(program, report.status());
  const nlohmann::ordered_json result = ResultJson(flags, measured, *report);
  if (flags.json) {
    std::cout << result.dump() << std::endl;
  } else {
    PrintTable(result);
  }
  if (report->failures == 0) return kExitDone;
  SayError(program, report->first_failure);
  return kExitFailed;
}

}  // namespace

int RunBenchCoordinator(int argc, const char* const* argv) {
  CLI::App app(
      "Runs the real coordinator with simulated workers and clients (in a second process) and "
      "reports what it costs.",
      argv[0]);
  BenchFlags flags;
  AddFlags(app, flags);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  absl::StatusOr<OpenedModel> model = ModelFor(flags);
  if (!model.ok()) return Fail(argv[0], model.status());
  flags.bench.facts = model->facts;

  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()) != 0) {
    return Fail(argv[0], absl::InternalError("no socket pair"));
  }
  // Before gRPC or any thread of ours is there to be copied.
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return Fail(argv[0], absl::InternalError("cannot fork"));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(kExitFailed);
    close(sockets[0]);
    LineSocket to_parent(sockets[1]);
    _exit(RunCoordinatorLoad(flags.bench, to_parent));
  }
  close(sockets[1]);
  LineSocket load(sockets[0]);
  const int code = RunParent(argv[0], flags, *std::move(model), load);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return code;
}

}  // namespace conclave
