#include "exchange/backend/ucx_worker.h"

#include <ucs/config/global_opts.h>
#include <ucs/debug/debug.h>
#include <ucs/debug/log_def.h>

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {
namespace {

struct Setting {
  const char* name;
  const char* value;
};

constexpr Setting kSettings[] = {
    // Off: see peer_watch.h.
    {"KEEPALIVE_INTERVAL", "inf"},
    // Without it shared memory is silently left out when peers may fail.
    {"MM_ERROR_HANDLING", "y"},
    // Of the TCP transport. Its name goes without the TCP_ that it has in the environment: UCX drops
    // a name that it does not know, with a warning that nobody sees. The thread that opens an epoch
    // waits in connect() for a peer that answers nothing: 3 s with one SYN sent again, over two
    // minutes with the kernel's six. (CONN_NB, which would not wait, makes UCX 1.13 end the process
    // when a worker is destroyed while it still connects.)
    {"SYN_CNT", "1"},
    // Right after it: UCX 1.13 writes that number with eight bytes into a field of four, and so sets
    // the next field, this one, to zero; without buffers no worker can be made. This is its default.
    {"TX_MAX_BUFS", "-1"},
    // A frame that fits two segments is sent at once: over TCP a rendezvous costs a round trip.
    {"RNDV_THRESH", "128k"},
    // The receiver fetches. If the sender put, one that was stopped and woke up in an old epoch
    // could
    // write into memory that a new epoch uses.
    {"RNDV_SCHEME", "get_zcopy"},
};

// UCX's words go to standard error (its default is standard output, where our results go).
ucs_log_func_rc_t LogToStderr(const char*, unsigned, const char*, ucs_log_level_t level,
                              const ucs_log_component_config_t*, const char* format,
                              va_list arguments) {
  if (level > UCS_LOG_LEVEL_ERROR) return UCS_LOG_FUNC_RC_STOP;
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::fprintf(stderr, "ucx: %s\n", text);
  return UCS_LOG_FUNC_RC_STOP;
}

// UCX installs crash handlers and its logger when the library is loaded, before any code of ours
// could say otherwise; here both are undone, once per process.
void TameProcessWideHabits() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const int number : {SIGILL, SIGSEGV, SIGBUS, SIGFPE}) ucs_debug_disable_signal(number);
    ucs_global_opts_set_value("LOG_LEVEL", "error");
    ucs_log_push_handler(LogToStderr);
  });
}

absl::Status Set(ucp_config_t* config, const char* name, const std::string& value) {
  const ucs_status_t status = ucp_config_modify(config, name, value.c_str());
  return status == UCS_OK ? absl::OkStatus() : UcxError(name, status);
}

absl::Status Configure(ucp_config_t* config, const UcxContext::Options& options) {
  for (const Setting& setting : kSettings) {
    RETURN_IF_ERROR(Set(config, setting.name, setting.value));
  }
  if (!options.transports.empty()) RETURN_IF_ERROR(Set(config, "TLS", options.transports));
  if (options.net_devices.empty()) return absl::OkStatus();
  return Set(config, "NET_DEVICES", options.net_devices);
}

}  // namespace

absl::Status UcxError(const char* what, ucs_status_t status) {
  return absl::UnavailableError(absl::StrCat(what, ": ", ucs_status_string(status)));
}

absl::StatusOr<std::unique_ptr<UcxContext>> UcxContext::Make(const Options& options) {
  TameProcessWideHabits();
  ucp_config_t* config = nullptr;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) return UcxError("reading UCX's settings", status);
  const std::unique_ptr<ucp_config_t, void (*)(ucp_config_t*)> owner(config, ucp_config_release);
  RETURN_IF_ERROR(Configure(config, options));
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM;
  ucp_context_h handle = nullptr;
  status = ucp_init(&params, config, &handle);
  if (status != UCS_OK) {
    return UcxError(absl::StrCat("starting UCX with transports '", options.transports, "' on devices '",
                                 options.net_devices, "'").c_str(),
                    status);
  }
  return std::unique_ptr<UcxContext>(new UcxContext(handle));
}

UcxContext::~UcxContext() { ucp_cleanup(handle_); }

absl::StatusOr<std::unique_ptr<UcxWorker>> UcxWorker::Make(const UcxContext& context) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucp_worker_h handle = nullptr;
  ucs_status_t status = ucp_worker_create(context.handle(), &params, &handle);
  if (status != UCS_OK) return UcxError("making a UCX worker", status);
  ucp_address_t* address = nullptr;
  std::size_t bytes = 0;
  status = ucp_worker_get_address(handle, &address, &bytes);
  if (status != UCS_OK) {
    ucp_worker_destroy(handle);
    return UcxError("asking for a UCX worker's address", status);
  }
  std::string blob(reinterpret_cast<const char*>(address), bytes);
  ucp_worker_release_address(handle, address);
  return std::unique_ptr<UcxWorker>(new UcxWorker(handle, std::move(blob)));
}

UcxWorker::~UcxWorker() { ucp_worker_destroy(handle_); }

}  // namespace conclave
