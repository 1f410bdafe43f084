// Last words: what is kept, in which form, beside writers, and in a dying process.
#include "base/edge/flight_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/edge/flight_dump.h"
#include "tests/support/files.h"

namespace conclave {
namespace {

using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr std::size_t kAll = std::size_t{1} << 22;

std::vector<std::string> LinesOf(const FlightRecorder& recorder) {
  return absl::StrSplit(recorder.Text(kAll), '\n', absl::SkipEmpty());
}

std::string Today() {
  const time_t now = time(nullptr);
  struct tm parts = {};
  gmtime_r(&now, &parts);
  char date[16];
  strftime(date, sizeof(date), "%Y-%m-%d", &parts);
  return date;
}

TEST(FlightRecorder, ALineHasBothTimesAndTheText) {
  const std::string before = Today();
  FlightRecorder recorder("me");
  recorder.Note("slot ", 3, " joins, epoch ", 7u);
  const std::string text = recorder.Text(kAll);
  EXPECT_THAT(text, MatchesRegex("2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\."
                                 "[0-9]{6}Z \\+0\\.[0-9]{6} slot 3 joins, epoch 7\n"));
  EXPECT_THAT(text.substr(0, 10), AnyOf(before, Today()));
}

TEST(FlightRecorder, OddTextIsMadeOneLineOfAscii) {
  FlightRecorder recorder("me");
  recorder.Note("a\nb\tc\xC3\xA4\x01");
  recorder.Note(std::string(1000, 'x'), "lost");
  const std::vector<std::string> lines = LinesOf(recorder);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], EndsWith(" a b c???"));
  EXPECT_THAT(lines[1], EndsWith(" " + std::string(FlightRecorder::kTextBytes, 'x')));
}

TEST(FlightRecorder, WorkDoesNotWashOutDecisions) {
  FlightRecorder recorder("me");
  recorder.Note("first");
  for (int i = 0; i < 10'000; ++i) recorder.NoteWork("step ", i);
  recorder.Note("last");
  const std::vector<std::string> lines = LinesOf(recorder);
  ASSERT_EQ(lines.size(), FlightRecorder::kWork + 2);
  EXPECT_THAT(lines.front(), EndsWith(" first"));
  EXPECT_THAT(lines[1], EndsWith(" step 5904"));
  EXPECT_THAT(lines[lines.size() - 2], EndsWith(" step 9999"));
  EXPECT_THAT(lines.back(), EndsWith(" last"));
}

TEST(FlightRecorder, TheNewestStay) {
  FlightRecorder recorder("me");
  for (int i = 0; i < 5000; ++i) recorder.Note("event ", i);
  std::vector<std::string> lines = LinesOf(recorder);
  ASSERT_EQ(lines.size(), FlightRecorder::kDecisions);
  EXPECT_THAT(lines.front(), EndsWith(" event 904"));
  const std::string some = recorder.Text(100);
  EXPECT_LE(some.size(), 100u);
  EXPECT_THAT(some, EndsWith(" event 4999\n"));
  EXPECT_EQ(some[0], '2');  // whole lines only
  lines.clear();
  recorder.EachLine(3, [&](std::string_view line) { lines.emplace_back(line); });
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], EndsWith(" event 4997\n"));
}

// Every record that a reader gets is one that somebody wrote, whole.
TEST(FlightRecorder, ReadersBesideWritersSeeWholeRecords) {
  FlightRecorder recorder("me");
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> notes{0};
  std::vector<std::thread> writers;
  for (char name : {'a', 'b', 'c'}) {
    writers.emplace_back([&, name] {
      for (std::size_t i = 0; !stop; ++i) {
        const std::string body(20 + i % 150, name);
        recorder.Note("<", body, ">");
        recorder.NoteWork("<", body, ">");
        ++notes;
      }
    });
  }
  while (notes < 2 * FlightRecorder::kWork) std::this_thread::yield();  // the rings went round
  std::size_t seen = 0;
  for (int round = 0; round < 100; ++round) {
    const std::vector<std::string> lines = LinesOf(recorder);
    seen += lines.size();
    for (const std::string& line : lines) {
      const std::size_t at = line.find('<');
      ASSERT_NE(at, std::string::npos) << line;
      EXPECT_EQ(line.back(), '>') << line;
      EXPECT_EQ(line.find_first_not_of(line[at + 1], at + 1), line.size() - 1) << line;
    }
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(seen, 100u);  // what is overwritten meanwhile is skipped: a slow reader sees few
}

TEST(FlightRecorder, TheLogIsInIt) {
  FlightRecorder recorder("me");
  std::string said;
  const LogFn log = Recording(recorder, [&](LogLevel, std::string_view line) { said += line; });
  log(LogLevel::kInfo, "one");
  log(LogLevel::kError, "two");
  EXPECT_EQ(said, "onetwo");
  EXPECT_THAT(LinesOf(recorder), testing::ElementsAre(EndsWith(" one"), EndsWith(" error: two")));
}

// In a child: signals are the process's.
int InChild(const std::function<void()>& run) {
  const pid_t pid = fork();
  if (pid == 0) {
    run();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string OnlyFile(const TempDir& dir) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    found.push_back(entry.path().string());
  }
  if (found.size() != 1) return "files: " + std::to_string(found.size());
  EXPECT_THAT(found[0], MatchesRegex(".*/conclave-tester-[0-9]+\\.flight"));
  return ReadFile(found[0]);
}

TEST(FlightDump, AFailedCheckLeavesAFile) {
  const TempDir dir;
  const int code = InChild([&] {
    if (freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
    FlightRecorder one("one"), two("two");
    const auto dump =
        FlightDump::Install({.name = "tester", .directory = dir.path(), .recorders = {&one, &two}});
    one.Note("the last word");
    two.Note("another one");
    CONCLAVE_CHECK(1 + 1 == 3, "on purpose");
  });
  EXPECT_EQ(code, 128 + SIGABRT);
  const std::string text = OnlyFile(dir);
  EXPECT_THAT(text, HasSubstr("# flight recorder of one: SIGABRT\n"));
  EXPECT_THAT(text, HasSubstr(" the last word\n# flight recorder of two: SIGABRT\n"));
  EXPECT_THAT(text, EndsWith(" another one\n"));
}

TEST(FlightDump, WhoAsksGetsItAndLifeGoesOn) {
  const TempDir dir;
  const int code = InChild([&] {
    FlightRecorder recorder("one");
    const auto dump =
        FlightDump::Install({.name = "tester", .directory = dir.path(), .recorders = {&recorder}});
    recorder.Note("so far");
    raise(SIGUSR1);
    recorder.Note("later");
    (*dump)->Failed("refused");
  });
  EXPECT_EQ(code, 0);
  const std::string text = OnlyFile(dir);
  EXPECT_THAT(text, HasSubstr("one: asked for (SIGUSR1)\n"));
  EXPECT_THAT(text, HasSubstr(" so far\n# flight recorder of one: refused\n"));
  EXPECT_THAT(text, EndsWith(" later\n"));
}

TEST(FlightDump, WithoutADirectoryTheLastLinesGoToStandardError) {
  const TempDir dir;
  const int code = InChild([&] {
    if (freopen((dir / "stderr").c_str(), "w", stderr) == nullptr) _exit(3);
    FlightRecorder recorder("one");
    const auto dump = FlightDump::Install({.name = "tester", .recorders = {&recorder}});
    for (int i = 0; i < 1000; ++i) recorder.Note("event ", i);
    (*dump)->Failed("an error is one line: nothing is written");
    raise(SIGSEGV);
  });
  EXPECT_EQ(code, 128 + SIGSEGV);
  const std::string text = ReadFile(dir / "stderr");
  EXPECT_THAT(text, Not(HasSubstr(" event 799\n")));
  EXPECT_THAT(text, HasSubstr(" event 800\n"));
  EXPECT_THAT(text, HasSubstr(" event 999\n"));
  EXPECT_THAT(text, Not(HasSubstr("one line")));
}

TEST(FlightDump, ADirectoryThatIsNotThereIsRefused) {
  FlightRecorder recorder("one");
  const auto dump =
      FlightDump::Install({.name = "tester", .directory = "/nowhere", .recorders = {&recorder}});
  ASSERT_FALSE(dump.ok());
  EXPECT_THAT(std::string(dump.status().message()), HasSubstr("--flight-recorder-dir /nowhere"));
}

}  // namespace
}  // namespace conclave
