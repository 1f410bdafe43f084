#include "cli/coordinator_flags.h"

#include <string>

#include "CLI/Validators.hpp"
#include "base/limits.h"
#include "cli/flags.h"

namespace conclave {

namespace {

// How long each party to a change of membership has, and what a loss may cost.
void AddEpochFlags(CLI::App& app, CoordinatorConfig& core) {
  app.add_option("--expert-replicas", core.expert_replicas,
                 "workers that hold each expert, memory permitting: with 2, none has to be loaded "
                 "when one is lost")
      ->capture_default_str()
      ->check(CLI::Range(1, kReplicasMax));
  app.add_option_function<std::string>(
         "--rebalance",
         [&core](const std::string& mode) {
           core.rebalance = mode == "auto" ? RebalanceMode::kAuto : RebalanceMode::kManual;
         },
         "auto: experts are placed anew by measured load when that clearly pays; manual: only when "
         "`conclave rebalance` asks for it")
      ->check(CLI::IsMember({"auto", "manual"}))
      ->default_str("auto")
      ->type_name("MODE");
  AddDuration(app, "--heartbeat-limit", core.heartbeat_limit, "a worker is silent: it is dropped");
  AddDuration(app, "--wedge-limit", core.wedge_limit,
              "a worker has something to do and makes no progress: it is dropped");
  AddDuration(app, "--link-limit", core.link_limit,
              "a frame that was sent does not arrive: one end of that link is dropped");
  AddDuration(app, "--load-limit", core.load_limit,
              "a load makes no progress: it is given up");
  AddDuration(app, "--connect-limit", core.connect_limit,
              "workers that have loaded do not reach one another: it is given up");
  AddDuration(app, "--move-limit", core.move_limit,
              "a drain waits for sequences to move; what is left is computed again");
  AddDuration(app, "--gather-limit", core.gather_limit,
              "then fewer workers than wanted will do, if they can hold all experts");
  AddDuration(app, "--unavailable-limit", core.unavailable_limit,
              "requests wait for a cluster that cannot serve; then they end with UNAVAILABLE");
}

}  // namespace

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
  AddDuration(app, "--step-target", core.step_target,
              "longest step that makes streams wait for prompts; default: four times a step "
              "without prompts, or 50ms if that is longer");
  app.add_option("--worker-rows", core.worker_rows_max,
                 "tokens of one worker in one step; a worker's --rows-max counts, too")
      ->capture_default_str()
      ->check(CLI::Range(1, kWorkerRowsMax));
  app.add_option("--running-max", core.running_max,
                 "requests decoding or prefilling on one worker at once")
      ->capture_default_str()
      ->check(CLI::Range(1, kSequencesMax));
  app.add_option("--waiting-max", core.waiting_max, "requests queued; more are refused")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--chunk-tokens", core.chunk_tokens, "longest piece of a prompt in one step")
      ->check(CLI::Range(1, kWorkerRowsMax));
  app.add_option("--plans-ahead", core.plans_ahead, "plans sent before the first one's result")
      ->capture_default_str()
      ->check(CLI::Range(1, kPlansAheadMax));
  AddEpochFlags(app, core);
  app.add_flag("--prefix-cache,!--no-prefix-cache", core.prefix_cache,
               "keep prompts' K and V for later requests (on unless --no-prefix-cache)");
}

}  // namespace conclave
