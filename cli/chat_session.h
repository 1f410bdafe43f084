// A conversation: what was said, and the commands that change it. Pure; the terminal and the
// network are chat.cc's.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace conclave {

class ChatSession {
 public:
  // `options`: sampling keys of a request (generate_request.h).
  explicit ChatSession(nlohmann::json options) : options_(std::move(options)) {}

  enum class Next { kAsk, kAgain, kSave, kStats, kQuit };
  struct Reply {
    Next next = Next::kAgain;
    std::string say;   // for the user
    std::string path;  // kSave
  };
  // A line that was typed: a command, or something to ask (then it is the last message).
  Reply Hear(const std::string& line);

  // The request for an answer, as RequestFromJson takes it.
  nlohmann::json Request() const;
  // What the model said, perhaps not to its end; empty: the question is taken back.
  void Answered(const std::string& text);
  std::string Transcript() const;  // JSON, for /save

 private:
  nlohmann::json options_;
  std::string system_;
  nlohmann::json messages_ = nlohmann::json::array();
  bool thinking_ = false, thinking_set_ = false;
};

}  // namespace conclave
