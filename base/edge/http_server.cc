#include "base/edge/http_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace conclave {

namespace {

// A connection that says nothing: wakes the thread that accepts.
void Poke(const std::string& host, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  [[maybe_unused]] const int ignored =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  close(fd);
}

}  // namespace

struct HttpServer::State {
  Paths paths;
  std::string host;
  mg_context* context = nullptr;
  int port = 0;

  // The library looks for its stop flag every two seconds, or when somebody connects.
  ~State() {
    if (context == nullptr) return;
    std::atomic<bool> stopped{false};
    std::thread stop([this, &stopped] {
      mg_stop(context);
      stopped = true;
    });
    while (!stopped) {
      Poke(host, port);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    stop.join();
  }
};

namespace {

const char* Reason(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
}

int Respond(mg_connection* connection, const HttpAnswer& answer, bool with_body) {
  const std::string head =
      absl::StrCat("HTTP/1.1 ", answer.code, " ", Reason(answer.code),
                   "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                   "Cache-Control: no-store\r\nConnection: close\r\nContent-Length: ",
                   answer.body.size(), "\r\n\r\n");
  mg_write(connection, head.data(), head.size());
  if (with_body) mg_write(connection, answer.body.data(), answer.body.size());
  return answer.code;
}

int OnRequest(mg_connection* connection, void* paths_pointer) {
  const auto& paths = *static_cast<const HttpServer::Paths*>(paths_pointer);
  const mg_request_info* info = mg_get_request_info(connection);
  const std::string_view method = info->request_method;
  const bool head = method == "HEAD";
  if (method != "GET" && !head) {
    return Respond(connection, {405, "only GET and HEAD are answered here\n"}, true);
  }
  const auto found = paths.find(std::string_view(info->local_uri));
  if (found == paths.end()) return Respond(connection, {404, "no such page\n"}, !head);
  return Respond(connection, found->second(), !head);
}

}  // namespace

HttpServer::HttpServer() : state_(std::make_unique<State>()) {}
HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address,
                                                              Paths paths) {
  std::unique_ptr<HttpServer> server(new HttpServer());
  server->state_->paths = std::move(paths);
  server->state_->host = address.substr(0, address.rfind(':'));
  const std::array<const char*, 9> options = {"listening_ports",
                                              address.c_str(),
                                              "num_threads",
                                              "2",
                                              "request_timeout_ms",
                                              "10000",
                                              "enable_directory_listing",
                                              "no",
                                              nullptr};
  mg_callbacks callbacks = {};
  callbacks.log_message = [](const mg_connection*, const char*) { return 1; };  // we report below
  server->state_->context = mg_start(&callbacks, nullptr, const_cast<const char**>(options.data()));
  if (server->state_->context == nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", address, ": is the port in use, or the host not ours?"));
  }
  mg_set_request_handler(server->state_->context, "**", OnRequest, &server->state_->paths);
  mg_server_port ports[1] = {};
  if (mg_get_server_ports(server->state_->context, 1, ports) == 1) server->port_ = ports[0].port;
  server->state_->port = server->port_;
  return server;
}

}  // namespace conclave
