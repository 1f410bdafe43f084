#include "cli/serve_flags.h"

#include "base/limits.h"
#include "cli/coordinator_flags.h"
#include "cli/flags.h"

namespace conclave {

void AddServeFlags(CLI::App& app, ServeFlags& flags) {
  app.add_option("--model", flags.coordinator.model_dir, "model directory (Hugging Face layout)")
      ->type_name("DIR");
  app.add_option("--workers", flags.workers,
                 "worker processes on this machine; 0: one worker inside this process")
      ->check(CLI::Range(0, kSlotsMax))
      ->type_name("N")
      ->capture_default_str();
  AddComputeFlags(app, flags.compute);
  AddCoordinatorFlags(app, flags.coordinator, flags.shutdown);
  AddDuration(app, "--start-timeout", flags.start_timeout, "longest wait until ready");
  AddLogFlags(app, flags.log);
}

}  // namespace conclave
