// What operators read: the cluster while it changes, and last words as one story.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/flight_text.h"
#include "cli/status_text.h"

namespace conclave {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::GetClusterResponse Changing() {
  v1::GetClusterResponse cluster;
  cluster.set_epoch(7);
  cluster.set_ready(true);
  for (int i = 1; i <= 7; ++i) {
    v1::EpochChange& change = *cluster.add_recent_epoch_changes();
    change.set_epoch(static_cast<std::uint64_t>(i));
    change.set_kind(i == 7 ? "loss" : "join");
    change.set_cause("cause " + std::to_string(i));
    change.set_ms(100.5);
    change.set_pause_ms(12.25);
    change.set_ago_ms(3000);
  }
  *cluster.mutable_last_epoch_change() = cluster.recent_epoch_changes(6);
  v1::ChangeUnderWay& now = *cluster.mutable_change_under_way();
  now.set_epoch(8);
  now.set_kind("join");
  now.set_stage("loading");
  now.set_cause("slot 4 joins");
  now.set_since_ms(2500);
  for (const int slot : {1, 2, 4}) now.add_waiting_for(slot);
  cluster.set_change_given_up("slot 2 cannot hear slot 3");
  cluster.set_change_retry_in_ms(5000);
  cluster.set_exchange_sent_bytes(4096);
  cluster.set_exchange_received_bytes(4032);
  cluster.set_bad_router_rows(3);
  v1::WorkerSummary& worker = *cluster.add_workers();
  worker.set_slot(3);
  worker.set_state("suspect");
  worker.set_why("heartbeat late by 400 ms");
  return cluster;
}

TEST(ChangingCluster, TheTableSaysWhatAndWhy) {
  const std::string table = StatusTable(Changing());
  EXPECT_THAT(table, HasSubstr("epoch 7 (cause 7, 100.5 ms, paused 12.2 ms)"));
  EXPECT_THAT(table, HasSubstr("suspect"));
  EXPECT_THAT(table, HasSubstr("WRONG: router logits of 3 rows were not numbers\n"));
  EXPECT_THAT(table, HasSubstr("heartbeat late by 400 ms\n"));
  EXPECT_THAT(table, HasSubstr("epoch 8 is being made (slot 4 joins): loading for 2.5 s, "
                               "waiting for slot 1-2,4\n"));
  EXPECT_THAT(table, HasSubstr("given up, again in 5.0 s: slot 2 cannot hear slot 3\n"));
  EXPECT_THAT(table, HasSubstr("epoch 7, 3 s ago: loss: cause 7; 100.5 ms, paused 12.2 ms\n"));
  EXPECT_LT(table.find("cause 7;"), table.find("cause 3;")) << "newest first";
  EXPECT_THAT(table, Not(HasSubstr("cause 2;"))) << "only a few";
}

TEST(ChangingCluster, TheTableOfAQuietClusterIsShort) {
  v1::GetClusterResponse cluster;
  EXPECT_EQ(std::ranges::count(StatusTable(cluster), '\n'), 3);  // not ready, and no reason
}

TEST(ChangingCluster, JsonHasItAll) {
  const auto object = nlohmann::json::parse(StatusJson(Changing()));
  EXPECT_EQ(object["last_epoch_change"]["kind"], "loss");
  EXPECT_EQ(object["last_epoch_change"]["pause_ms"], 12.25);
  EXPECT_EQ(object["recent_epoch_changes"].size(), 7u);
  EXPECT_EQ(object["recent_epoch_changes"][0]["epoch"], 1);
  EXPECT_EQ(object["change_under_way"]["stage"], "loading");
  EXPECT_EQ(object["change_under_way"]["waiting_for"], nlohmann::json({1, 2, 4}));
  EXPECT_EQ(object["change_given_up"], "slot 2 cannot hear slot 3");
  EXPECT_EQ(object["exchange"], nlohmann::json({{"sent_bytes", 4096}, {"received_bytes", 4032}}));
  EXPECT_EQ(object["bad_router_rows"], 3);
  EXPECT_EQ(object["workers"][0]["why"], "heartbeat late by 400 ms");
  EXPECT_TRUE(nlohmann::json::parse(StatusJson({}))["change_under_way"].is_null());
}

v1::GetFlightRecorderResponse Words() {
  v1::GetFlightRecorderResponse response;
  const auto add = [&](const char* process, const char* text, const char* error) {
    v1::ProcessRecord& record = *response.add_processes();
    record.set_process(process);
    record.set_text(text);
    record.set_error(error);
  };
  add("coordinator",
      "2031-05-04T12:00:00.000002Z +9.5 first\n2031-05-04T12:00:00.000009Z +10.0 fourth\n", "");
  add("worker 3",
      "2031-05-04T12:00:00.000005Z +0.25 second\n2031-05-04T12:00:00.000005Z +0.25 third, too\n",
      "");
  add("worker 4", "", "no answer within 2 s");
  return response;
}

TEST(FlightText, IsOneStoryByTime) {
  EXPECT_EQ(FlightText(Words()),
            "2031-05-04T12:00:00.000002Z  coordinator  first\n"
            "2031-05-04T12:00:00.000005Z  worker 3     second\n"
            "2031-05-04T12:00:00.000005Z  worker 3     third, too\n"
            "2031-05-04T12:00:00.000009Z  coordinator  fourth\n");
}

TEST(FlightText, JsonIsOneObjectPerLine) {
  const std::string text = FlightJson(Words());
  ASSERT_EQ(std::ranges::count(text, '\n'), 5);
  const auto second = nlohmann::json::parse(
      text.substr(text.find('\n') + 1, text.find('\n', text.find('\n') + 1) - text.find('\n') - 1));
  EXPECT_EQ(second["time"], "2031-05-04T12:00:00.000005Z");
  EXPECT_EQ(second["process"], "worker 3");
  EXPECT_EQ(second["since_start_s"], 0.25);
  EXPECT_EQ(second["message"], "second");
  EXPECT_THAT(text, HasSubstr(R"({"process":"worker 4","error":"no answer within 2 s"})"));
}

TEST(FlightText, OddLinesAreKept) {
  v1::GetFlightRecorderResponse response;
  v1::ProcessRecord& record = *response.add_processes();
  record.set_process("worker 0");
  record.set_text("odd\n\nand odder still");
  EXPECT_THAT(FlightText(response), HasSubstr("worker 0     odd\n"));
  EXPECT_THAT(FlightText(response), HasSubstr("worker 0     and odder still\n"));
}

}  // namespace
}  // namespace conclave
