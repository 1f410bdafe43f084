#include "cli/version.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli_commit.h"
#include "exchange/backends.h"
#include "kernels/kernel_set.h"

namespace conclave {

std::string BuildVersion() { return CONCLAVE_VERSION; }
std::string BuildCommit() { return CONCLAVE_COMMIT; }

std::string VersionText() {
  return absl::StrCat("conclave ", BuildVersion(), "\ncommit: ", BuildCommit(),
                      "\nbuild: ", CONCLAVE_BUILD,
                      "\nkernel sets here: ", absl::StrJoin(KernelSetsHere(), ", "),
                      "\nexchange back-ends: ", absl::StrJoin(ExchangeBackendsHere(), ", "), "\n");
}

}  // namespace conclave
