// A network of its own for every worker, so that packets can be lost without anybody being told.
//
// This process moves into a fresh network namespace with a bridge, on which the coordinator
// listens; each place has another namespace, joined to the bridge by a veth pair. Nothing of the
// host's network is touched, and everything is gone with the process. From the main thread, before
// there are others.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace conclave::torture {

class NetLab {
 public:
  // Unavailable says what is missing: root, `ip`, namespaces.
  static absl::StatusOr<std::unique_ptr<NetLab>> Start(int places);
  ~NetLab();
  NetLab(const NetLab&) = delete;
  NetLab& operator=(const NetLab&) = delete;

  std::string CoordinatorHost() const;
  std::string Host(int place) const;

  // While it lives, processes that this thread starts are in the place's namespace.
  class Inside {
   public:
    Inside(const NetLab& lab, int place);
    ~Inside();
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    const NetLab& lab_;
  };

  // Nothing goes in or out of `place`; no end of any connection is told.
  absl::Status CutAll(int place);
  absl::Status HealAll(int place);
  // What `place` sends to that host goes nowhere; the other direction is as before.
  absl::Status CutTowards(int place, const std::string& host);
  absl::Status HealTowards(int place, const std::string& host);

 private:
  NetLab() = default;
  absl::Status AddBridge();
  absl::Status AddPlace();
  absl::Status Ip(const std::vector<std::string>& words) const;

  std::string ip_;  // the program
  int home_ = -1;   // the namespace with the bridge
  std::vector<int> places_;
};

}  // namespace conclave::torture
