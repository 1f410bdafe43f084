// Owners of UCX's two big handles, and every setting that we ask of UCX, in one place.
#pragma once

#include <ucp/api/ucp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace conclave {

class UcxContext {
 public:
  struct Options {
    std::string transports;   // as in UCX_TLS ("tcp,self", "^shm"); empty for UCX's own choice
    std::string net_devices;  // as in UCX_NET_DEVICES ("lo"); empty for every device
  };
  static absl::StatusOr<std::unique_ptr<UcxContext>> Make(const Options& options);
  ~UcxContext();
  UcxContext(const UcxContext&) = delete;
  UcxContext& operator=(const UcxContext&) = delete;
  ucp_context_h handle() const { return handle_; }

 private:
  explicit UcxContext(ucp_context_h handle) : handle_(handle) {}
  ucp_context_h handle_;
};

// A progress engine with an address of its own; must go before its context does. Nothing is
// received for it, and no callback runs, but inside Progress.
class UcxWorker {
 public:
  static absl::StatusOr<std::unique_ptr<UcxWorker>> Make(const UcxContext& context);
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;
  ucp_worker_h handle() const { return handle_; }
  const std::string& address() const { return address_; }
  bool Progress() { return ucp_worker_progress(handle_) != 0; }

 private:
  UcxWorker(ucp_worker_h handle, std::string address)
      : handle_(handle), address_(std::move(address)) {}
  ucp_worker_h handle_;
  std::string address_;
};

// "WHAT: UCX's words".
absl::Status UcxError(const char* what, ucs_status_t status);

}  // namespace conclave
