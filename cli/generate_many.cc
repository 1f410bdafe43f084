#include "cli/generate_many.h"

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/ask.h"
#include "cli/flags.h"
#include "cli/generate_output.h"
#include "cli/generate_request.h"
#include "cli/interrupt.h"

namespace conclave {
namespace {

constexpr std::uint64_t kAheadPerThread = 4;  // answers that wait for a slower one before them

// Lines in, answers out, in order.
class InOrder {
 public:
  InOrder(std::istream& in, std::ostream& out, std::uint64_t ahead)
      : in_(in), out_(out), ahead_(ahead) {}

  // False at the end. Waits while too many answers wait to be written.
  bool Take(std::uint64_t& index, std::string& line) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return taken_ - written_ < ahead_; });
    do {
      if (!std::getline(in_, line)) return false;
    } while (line.find_first_not_of(" \t\r") == std::string::npos);
    index = taken_++;
    return true;
  }

  void Give(std::uint64_t index, std::string answer) {
    std::lock_guard lock(mutex_);
    waiting_.emplace(index, std::move(answer));
    while (!waiting_.empty() && waiting_.begin()->first == written_) {
      out_ << waiting_.begin()->second << '\n';
      waiting_.erase(waiting_.begin());
      ++written_;
    }
    out_.flush();
    room_.notify_all();
  }

 private:
  std::istream& in_;
  std::ostream& out_;
  const std::uint64_t ahead_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::uint64_t taken_ = 0, written_ = 0;
  std::map<std::uint64_t, std::string> waiting_;
};

}  // namespace

void AnswerLines(std::istream& in, std::ostream& out, int concurrency,
                 const std::function<std::string(const std::string& line)>& answer,
                 const std::function<bool()>& stop) {
  InOrder lines(in, out, kAheadPerThread * static_cast<std::uint64_t>(concurrency));
  const auto work = [&] {
    std::uint64_t index = 0;
    std::string line;
    while (!stop() && lines.Take(index, line)) lines.Give(index, answer(line));
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < concurrency; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
}

int GenerateMany(Client& client, const ManyAsk& ask, const char* program) {
  std::ifstream file;
  if (ask.path != "-") {
    file.open(ask.path, std::ios::binary);
    if (!file) {
      SayError(program, absl::StrCat("cannot read ", ask.path, " (--input)"));
      return kExitFailed;
    }
  }
  std::atomic<bool> failed{false};
  const auto answer_line = [&](const std::string& line) {
    const auto request = RequestFromLine(line, ReadSmallFile);
    Answer answer = request.ok() ? Answer(request->output()) : Answer();
    grpc::Status status;
    std::string id;
    if (request.ok()) {
      id = request->request_id();
      const auto read = [&](const v1::GenerateResponse& part) { answer.Add(part); };
      status = Ask(client, *request, ask.retry_for, read).status;
    } else {
      status = RefusalOf(request.status());
    }
    if (!status.ok()) failed = true;
    return answer.Json(id, status);
  };
  AnswerLines(ask.path == "-" ? std::cin : file, std::cout, ask.concurrency, answer_line,
              [] { return Interrupts() > 0; });
  if (Interrupts() > 0) return kExitInterrupted;
  return failed ? kExitFailed : kExitDone;
}

}  // namespace conclave
