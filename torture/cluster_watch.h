// Polls the cluster's admin port from a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "grpcpp/channel.h"

namespace conclave::torture {

struct Sighting {
  Micros asked = 0;       // when this was asked; 0: never answered
  bool answered = false;  // the last question
  bool ready = false;
  std::uint64_t epoch = 0;
  std::string news;         // why it is not ready, or why the epoch last changed
  std::vector<int> active;  // process ids of the workers that take part
  std::string kernels;
  bool Has(int pid) const;
};

class ClusterWatch {
 public:
  explicit ClusterWatch(std::shared_ptr<grpc::Channel> admin);
  ~ClusterWatch();
  ClusterWatch(const ClusterWatch&) = delete;
  ClusterWatch& operator=(const ClusterWatch&) = delete;

  Sighting Now() const;

 private:
  void Run();

  const std::shared_ptr<grpc::Channel> admin_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Sighting now_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace conclave::torture
