#include "cli/chat_session.h"

#include "absl/strings/ascii.h"

namespace conclave {
namespace {

using Reply = ChatSession::Reply;
using Next = ChatSession::Next;

constexpr const char* kHelp =
    "/system TEXT   what the model is told before everything; without TEXT: nothing\n"
    "/think on|off  let the model think first\n"
    "/reset         forget what was said\n"
    "/save FILE     write the conversation as JSON\n"
    "/stats         how fast the last answer was\n"
    "/quit          end; so does Ctrl-D. Ctrl-C ends an answer\n";

}  // namespace

Reply ChatSession::Hear(const std::string& line) {
  const std::string text(absl::StripAsciiWhitespace(line));
  if (text.empty()) return {};
  if (text.front() != '/') {
    messages_.push_back({{"role", "user"}, {"content", text}});
    return {.next = Next::kAsk, .say = "", .path = ""};
  }
  const std::size_t blank = text.find(' ');
  const std::string command = text.substr(0, blank);
  const std::string rest(
      blank == std::string::npos ? "" : absl::StripAsciiWhitespace(text.substr(blank + 1)));
  if (command == "/quit" || command == "/exit") return {.next = Next::kQuit, .say = "", .path = ""};
  if (command == "/stats") return {.next = Next::kStats, .say = "", .path = ""};
  if (command == "/help") return {.next = Next::kAgain, .say = kHelp, .path = ""};
  if (command == "/save") {
    if (rest.empty()) return {.next = Next::kAgain, .say = "/save needs a file name\n", .path = ""};
    return {.next = Next::kSave, .say = "", .path = rest};
  }
  if (command == "/reset") {
    messages_.clear();
    return {.next = Next::kAgain, .say = "forgotten\n", .path = ""};
  }
  if (command == "/system") {
    system_ = rest;
    return {.next = Next::kAgain, .say = rest.empty() ? "no system text\n" : "noted\n", .path = ""};
  }
  if (command == "/think") {
    if (rest != "on" && rest != "off") {
      return {.next = Next::kAgain, .say = "/think on or /think off\n", .path = ""};
    }
    thinking_ = rest == "on";
    thinking_set_ = true;
    return {
        .next = Next::kAgain, .say = thinking_ ? "will think\n" : "will not think\n", .path = ""};
  }
  return {.next = Next::kAgain, .say = command + " is no command; /help lists them\n", .path = ""};
}

nlohmann::json ChatSession::Request() const {
  nlohmann::json request = options_;
  nlohmann::json messages = messages_;
  if (!system_.empty()) {
    messages.insert(messages.begin(), nlohmann::json{{"role", "system"}, {"content", system_}});
  }
  request["chat"] = std::move(messages);
  if (thinking_set_) request["enable_thinking"] = thinking_;
  return request;
}

void ChatSession::Answered(const std::string& text) {
  if (text.empty()) {
    messages_.erase(messages_.size() - 1);
    return;
  }
  messages_.push_back({{"role", "assistant"}, {"content", text}});
}

std::string ChatSession::Transcript() const {
  const auto replace = nlohmann::json::error_handler_t::replace;
  return nlohmann::json{{"system", system_}, {"messages", messages_}}.dump(2, ' ', false, replace) +
         "\n";
}

}  // namespace conclave
