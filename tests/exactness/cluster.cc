#include "tests/exactness/cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "grpcpp/grpcpp.h"
#include "model/edge/checkpoint.h"

namespace conclave {
namespace {

constexpr auto kLong = std::chrono::seconds(100);

std::uint64_t BytesOfBlocks(const ClusterOptions& options, int blocks) {
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(TalesDir());
  CONCLAVE_CHECK(checkpoint.ok(), "%s", checkpoint.status().ToString().c_str());
  std::vector<std::string> filled;
  const absl::StatusOr<KernelSet> kernels = SelectKernels(options.kernels, filled);
  CONCLAVE_CHECK(kernels.ok(), "%s", kernels.status().ToString().c_str());
  const ModelConfig& model = checkpoint->config;
  return kernels->kv_block_bytes({model.kv_heads, model.head_dim, options.kv_dtype}) *
         model.layers.size() * static_cast<std::uint64_t>(blocks);
}

std::string HttpGet(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  CONCLAVE_CHECK(fd >= 0, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CONCLAVE_CHECK(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
                 "connect");
  const std::string ask =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
  CONCLAVE_CHECK(write(fd, ask.data(), ask.size()) == static_cast<ssize_t>(ask.size()), "write");
  std::string page;
  char bytes[4096];
  for (ssize_t got = 0; (got = read(fd, bytes, sizeof bytes)) > 0;) {
    page.append(bytes, static_cast<std::size_t>(got));
  }
  close(fd);
  return page;
}

}  // namespace

std::string TalesDir() { return absl::StrCat(CONCLAVE_SOURCE_DIR, "/models/tales-128e"); }

LogFn Cluster::Log() {
  return [this](LogLevel, std::string_view line) {
    std::lock_guard lock(mutex_);
    lines_ += std::string(line) + "\n";
    ready_ = ready_ || line == "ready to serve";
    wake_.notify_all();
  };
}

Cluster::Cluster(const ClusterOptions& options) {
  CoordinatorOptions coordinator;
  coordinator.model_dir = TalesDir();
  coordinator.core = options.core;
  coordinator.core.workers_wanted = options.workers + options.expert_workers;
  // Many threads on few cores: a late heartbeat is not what these tests are about.
  coordinator.core.heartbeat_limit = 60'000'000;
  coordinator.listen = "127.0.0.1:0";
  coordinator.admin = "127.0.0.1:0";
  coordinator.version = "test";
  coordinator.log = Log();
  auto server = CoordinatorServer::Start(coordinator);
  CONCLAVE_CHECK(server.ok(), "%s", server.status().ToString().c_str());
  server_ = *std::move(server);
  for (int i = 0; i < options.workers + options.expert_workers; ++i) {
    WorkerOptions worker;
    worker.model_dir = TalesDir();
    worker.role = i < options.workers ? Role::kWorker : Role::kExpert;
    worker.kernels = options.kernels;
    worker.kv_dtype = options.kv_dtype;
    worker.kv_memory_bytes = BytesOfBlocks(options, options.kv_blocks.value_or(1024));
    worker.threads = options.threads;
    worker.arrivals_max = options.arrivals_max;
    worker.exchange = options.exchange;
    worker.hub = &hub_;
    worker.coordinator = server_->InProcessChannel();
    worker.log = Log();
    auto runner = WorkerRunner::Start(worker);
    CONCLAVE_CHECK(runner.ok(), "%s", runner.status().ToString().c_str());
    workers_.push_back(*std::move(runner));
  }
  {
    std::unique_lock lock(mutex_);
    CONCLAVE_CHECK(wake_.wait_for(lock, kLong, [this] { return ready_; }), "%s", lines_.c_str());
  }
  client_ = v1::InferenceService::NewStub(server_->InProcessChannel());
}

Cluster::~Cluster() {
  client_.reset();
  workers_.clear();
  server_.reset();
}

double Cluster::Metric(const std::string& name) const {
  const std::string page = HttpGet(server_->admin_http_port(), "/metrics");
  const std::size_t at = page.find("\n" + name + " ");
  CONCLAVE_CHECK(at != std::string::npos, "no metric %s in\n%s", name.c_str(), page.c_str());
  return std::strtod(page.c_str() + at + name.size() + 2, nullptr);
}

std::uint64_t Cluster::bytes_sent() const {
  std::uint64_t bytes = 0;
  for (const auto& worker : workers_) bytes += worker->Report().bytes_sent;
  return bytes;
}

std::uint64_t Cluster::bytes_received() const {
  std::uint64_t bytes = 0;
  for (const auto& worker : workers_) bytes += worker->Report().bytes_received;
  return bytes;
}

}  // namespace conclave
