#include "torture/report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace conclave::torture {
namespace {

int Done(const Report& report, DeedKind kind) {
  return report.done.empty() ? 0 : report.done[static_cast<std::size_t>(kind)];
}

nlohmann::ordered_json StallsOf(const Report& report, DeedKind kind) {
  KindStalls stalls;
  if (!report.stalls.by_kind.empty()) {
    stalls = report.stalls.by_kind[static_cast<std::size_t>(kind)];
  }
  return {{"max", stalls.charged_max_ms}, {"overlapping_max", stalls.overlapping_max_ms}};
}

}  // namespace

std::string ReportJson(const Report& report) {
  nlohmann::ordered_json object = {
      {"requests", report.requests},
      {"failed", report.failed},
      {"mismatched", report.mismatched},
      {"missing_tokens", report.missing_tokens},
      {"repeated_tokens", report.repeated_tokens},
      {"kills", Done(report, DeedKind::kKill)},
      {"hangs", Done(report, DeedKind::kHang)},
      {"joins", Done(report, DeedKind::kJoin)},
      {"drains", Done(report, DeedKind::kDrain)},
      {"wedges", Done(report, DeedKind::kWedge)},
      {"coordinator_kills", Done(report, DeedKind::kCoordinator)},
      {"partitions", Done(report, DeedKind::kPartition)},
      {"bad_joins", Done(report, DeedKind::kBadJoin)},
      {"restarts", report.restarts},
      {"skipped", report.skipped},
      {"refusals", report.refusals},
      {"retries", report.retries},
      {"stall_ms",
       {{"p50", report.stall_p50_ms}, {"p99", report.stall_p99_ms}, {"max", report.stalls.max_ms}}},
      {"steady_inter_token_ms",
       {{"p50", report.steady_p50_ms},
        {"p99", report.steady_p99_ms},
        {"max", report.steady_max_ms}}},
      {"stall_after_kill_ms", StallsOf(report, DeedKind::kKill)},
      {"stall_after_hang_ms", StallsOf(report, DeedKind::kHang)},
      {"stall_after_join_ms", StallsOf(report, DeedKind::kJoin)},
      {"stall_after_drain_ms", StallsOf(report, DeedKind::kDrain)},
      {"stall_after_wedge_ms", StallsOf(report, DeedKind::kWedge)},
      {"stall_after_coordinator_ms", StallsOf(report, DeedKind::kCoordinator)},
      {"stall_after_partition_ms", StallsOf(report, DeedKind::kPartition)},
      {"stall_after_bad_join_ms", StallsOf(report, DeedKind::kBadJoin)},
      {"first_token_ms",
       {{"p50", report.first_token_p50_ms},
        {"p99", report.first_token_p99_ms},
        {"max", report.first_token_max_ms}}},
      {"tokens_per_second", report.tokens_per_second},
      {"steady_tokens_per_second", report.steady_tokens_per_second},
      {"seed", report.seed},
      {"seconds", report.seconds},
      {"model", report.model},
      {"workers", report.workers},
      {"workers_max", report.workers_max},
      {"streams", report.streams},
      {"machine", {{"cores", report.cores}, {"threads_per_worker", report.threads}}},
      {"kernels", report.kernels},
      {"commit", report.commit},
      {"notes", report.notes},
      {"failures", report.failures},
      {"repeat", report.repeat},
  };
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string ReportText(const Report& report) {
  std::string text = absl::StrFormat(
      "%d requests: %d failed, %d mismatched, %d tokens missing, %d repeated; %d calls retried\n"
      "%.0f tokens per second; steady: %.0f, between tokens p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
      report.requests, report.failed, report.mismatched, report.missing_tokens,
      report.repeated_tokens, report.retries, report.tokens_per_second,
      report.steady_tokens_per_second, report.steady_p50_ms, report.steady_p99_ms,
      report.steady_max_ms);
  text += "deed         done  longest stall  (that overlaps one)\n";
  for (const DeedKind kind : kDeedKinds) {
    if (Done(report, kind) == 0 || report.stalls.by_kind.empty()) continue;
    const KindStalls& stalls = report.stalls.by_kind[static_cast<std::size_t>(kind)];
    text += absl::StrFormat("%-12s %4d  %10.1f ms  %10.1f ms\n", NameOf(kind), Done(report, kind),
                            stalls.charged_max_ms, stalls.overlapping_max_ms);
  }
  text += absl::StrFormat(
      "stalls of deeds: p50 %.1f ms, p99 %.1f ms; longest gap %.1f ms; %d restarts, %d skipped\n",
      report.stall_p50_ms, report.stall_p99_ms, report.stalls.max_ms, report.restarts,
      report.skipped);
  for (const std::string& note : report.notes) text += absl::StrFormat("note: %s\n", note);
  return text;
}

}  // namespace conclave::torture
