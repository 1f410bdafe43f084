// `conclave chat`: a conversation on a terminal, or line by line from a pipe.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "cli/ask.h"
#include "cli/chat_session.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/generate_output.h"
#include "cli/generate_request.h"
#include "cli/interrupt.h"
#include "cli/target.h"

namespace conclave {
namespace {

// Lines of standard input; a signal can end the wait.
class Lines {
 public:
  // Nothing at the end of input, or when SIGTERM came. Ctrl-C gives an empty line.
  std::optional<std::string> Next() {
    for (;;) {
      const std::size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      if (at_end_) {
        if (buffer_.empty()) return std::nullopt;
        return std::exchange(buffer_, "");
      }
      char bytes[4096];
      const ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
      if (EndAsked()) return std::nullopt;
      if (got < 0 && errno == EINTR) return "";
      if (got <= 0) at_end_ = true;
      if (got > 0) buffer_.append(bytes, static_cast<std::size_t>(got));
    }
  }

 private:
  std::string buffer_;
  bool at_end_ = false;
};

class Chat {
 public:
  Chat(Client& client, nlohmann::json options, Micros retry_for, const char* program)
      : client_(client), session_(std::move(options)), retry_for_(retry_for), program_(program) {}

  int Run() {
    const bool terminal = isatty(STDIN_FILENO) == 1;
    if (terminal) Say("Type to talk; /help lists commands.\n");
    for (;;) {
      if (terminal) Say("> ");
      const std::optional<std::string> line = lines_.Next();
      if (Interrupts() > 0 && line) {
        ForgetInterrupts();
        Say("\n(/quit ends)\n");
        continue;
      }
      if (!line) return failed_ && !terminal ? kExitFailed : kExitDone;
      const ChatSession::Reply reply = session_.Hear(*line);
      Say(reply.say);
      switch (reply.next) {
        case ChatSession::Next::kAsk:
          Ask();
          break;
        case ChatSession::Next::kSave:
          Save(reply.path);
          break;
        case ChatSession::Next::kStats:
          Say(last_.has_finished() ? StatsLine(last_) + "\n" : "nothing was answered yet\n");
          break;
        case ChatSession::Next::kQuit:
          return kExitDone;
        case ChatSession::Next::kAgain:
          break;
      }
    }
  }

 private:
  // Everything but answers.
  void Say(const std::string& text) {
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  }

  void Ask() {
    const auto request = RequestFromJson(session_.Request(), ReadSmallFile);
    if (!request.ok()) {
      session_.Answered("");
      SayError(program_, std::string(request.status().message()));
      failed_ = true;
      return;
    }
    Answer answer;
    grpc::Status status;
    {
      const OnInterrupt cancel([this] { client_.CancelRunning(); });
      const auto read = [&](const v1::GenerateResponse& part) {
        answer.Add(part);
        std::fwrite(part.text().data(), 1, part.text().size(), stdout);
        std::fflush(stdout);
      };
      status = conclave::Ask(client_, *request, retry_for_, read).status;
    }
    std::fputs("\n", stdout);
    std::fflush(stdout);
    session_.Answered(answer.text());
    last_ = answer.whole();
    if (Interrupts() > 0) {
      ForgetInterrupts();
    } else if (!status.ok()) {
      SayError(program_, ErrorLine(status));
      failed_ = true;
    }
  }

  void Save(const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    file << session_.Transcript();
    file.close();
    Say(file.good() ? "saved\n" : "cannot write " + path + "\n");
  }

  Client& client_;
  ChatSession session_;
  const Micros retry_for_;
  const char* program_;
  Lines lines_;
  v1::GenerateResponse last_;
  bool failed_ = false;
};

}  // namespace

int RunChat(int argc, const char* const* argv) {
  CLI::App app("Talks with a model. Ctrl-C ends an answer; /quit or Ctrl-D ends the program.",
               argv[0]);
  TargetFlags target_flags;
  nlohmann::json options = nlohmann::json::object();
  AddTargetFlags(app, target_flags);
  AddSamplingFlags(app, options);
  Micros retry_for = kRetryForDefault;
  AddRetryFlag(app, retry_for);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  WatchInterrupts();
  auto target = OpenTarget(target_flags);
  if (absl::IsCancelled(target.status())) return kExitInterrupted;
  if (!target.ok()) return Fail(argv[0], target.status());
  const auto model = target->client->ModelInfo();
  if (!model.ok()) return Fail(argv[0], model.status());
  if (!model->has_chat_template()) {
    SayError(argv[0], "this model has no chat template: use `conclave generate`");
    return kExitFailed;
  }
  return Chat(*target->client, std::move(options), retry_for, argv[0]).Run();
}

}  // namespace conclave
