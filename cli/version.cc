#include "cli/version.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli_commit.h"
#include "exchange/backends.h"
#include "kernels/kernel_set.h"

namespace conclave {

std::string Version() { return CONCLAVE_VERSION; }
std::string Commit() { return CONCLAVE_COMMIT; }

std::string VersionText() {
  return absl::StrCat("conclave ", Version(), "\ncommit: ", Commit(), "\nbuild: ", CONCLAVE_BUILD,
                      "\nkernel sets here: ", absl::StrJoin(KernelSetsHere(), ", "),
                      "\nexchange back-ends: ", absl::StrJoin(ExchangeBackendsHere(), ", "), "\n");
}

}  // namespace conclave
