// A small HTTP server for probes and metrics: exact paths, GET and HEAD, short answers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace conclave {

struct HttpAnswer {
  int code = 200;
  std::string body;
};

class HttpServer {
 public:
  // Called on one of the server's two threads, and may wait a little.
  using Handler = std::function<HttpAnswer()>;
  using Paths = std::map<std::string, Handler, std::less<>>;

  // `address` is host:port with a numeric host; port 0 takes a free one. AlreadyExists when the
  // port is in use.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address, Paths paths);
  ~HttpServer();
  int port() const { return port_; }

 private:
  struct State;
  HttpServer();
  std::unique_ptr<State> state_;
  int port_ = 0;
};

}  // namespace conclave
