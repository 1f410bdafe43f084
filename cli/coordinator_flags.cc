#include "cli/coordinator_flags.h"

#include "CLI/Validators.hpp"
#include "base/limits.h"
#include "cli/flags.h"

namespace conclave {

void AddCoordinatorFlags(CLI::App& app, CoordinatorOptions& options, ShutdownPlan& plan) {
  app.add_option("--listen", options.listen, "gRPC for clients and workers; port 0: any free one")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  app.add_option("--admin", options.admin, "gRPC health and AdminService")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  app.add_option("--admin-http", options.admin_http,
                 "/livez /readyz /startupz /metrics; default: the admin port + 1")
      ->type_name("HOST:PORT");
  app.add_flag("--insecure", options.insecure,
               "listen beyond loopback without TLS: anybody who can connect may ask");
  app.add_flag("--reflection", options.reflection, "serve gRPC reflection");
  AddDuration(app, "--grace", plan.grace, "at SIGTERM: not ready, but still admitting");
  AddDuration(app, "--drain", plan.drain, "then: nothing new, what runs may finish");
  CoordinatorConfig& core = options.core;
  app.add_option("--step-rows", core.step_rows_max, "tokens of one step, over all workers")
      ->capture_default_str()
      ->check(CLI::Range(1, kRowsPerStepMax));
  app.add_option("--worker-rows", core.worker_rows_max, "tokens of one step, of one worker")
      ->capture_default_str()
      ->check(CLI::Range(1, kRowsPerStepMax));
  app.add_option("--running-max", core.running_max, "requests decoding or prefilling at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  app.add_option("--waiting-max", core.waiting_max, "requests queued; more are refused")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--chunk-tokens", core.chunk_tokens, "longest piece of a prompt in one step")
      ->check(CLI::Range(1, kRowsPerStepMax));
  app.add_option("--plans-ahead", core.plans_ahead, "plans sent before the first one's result")
      ->capture_default_str()
      ->check(CLI::Range(1, kPlansAheadMax));
  app.add_flag("--prefix-cache,!--no-prefix-cache", core.prefix_cache,
               "keep prompts' K and V for later requests (on unless --no-prefix-cache)");
}

}  // namespace conclave
