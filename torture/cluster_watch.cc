#include "torture/cluster_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/edge/clock.h"
#include "conclave/v1/admin.grpc.pb.h"
#include "grpcpp/client_context.h"

namespace conclave::torture {
namespace {

constexpr auto kPeriod = std::chrono::milliseconds(50);
constexpr auto kLimit = std::chrono::milliseconds(1000);

// A worker's address is for people: host:pid.
int PidOf(const std::string& address) {
  int pid = -1;
  if (!absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &pid)) return -1;
  return pid;
}

Sighting Read(const v1::GetClusterResponse& cluster) {
  Sighting seen;
  seen.answered = true;
  seen.ready = cluster.ready();
  seen.epoch = cluster.epoch();
  seen.news = cluster.ready() ? cluster.last_epoch_change().cause() : cluster.not_ready_because();
  for (const v1::WorkerSummary& worker : cluster.workers()) {
    if (worker.state() == "active") seen.active.push_back(PidOf(worker.address()));
    seen.kernels = worker.kernels();
  }
  return seen;
}

}  // namespace

bool Sighting::Has(int pid) const { return std::ranges::count(active, pid) > 0; }

ClusterWatch::ClusterWatch(std::shared_ptr<grpc::Channel> admin)
    : admin_(std::move(admin)), thread_([this] { Run(); }) {}

ClusterWatch::~ClusterWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Sighting ClusterWatch::Now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

void ClusterWatch::Run() {
  const auto stub = v1::AdminService::NewStub(admin_);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kPeriod, [this] { return stopping_; })) {
    lock.unlock();
    const Micros asked = SteadyMicros();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    v1::GetClusterResponse response;
    const bool ok = stub->GetCluster(&context, {}, &response).ok();
    lock.lock();
    if (ok) {
      now_ = Read(response);
      now_.asked = asked;
    } else {
      now_.answered = false;
      now_.ready = false;
    }
  }
}

}  // namespace conclave::torture
