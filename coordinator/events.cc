#include "coordinator/events.h"

#include <utility>

namespace conclave {

CoordinatorOutbox OneByOne(CoordinatorOutbox outbox) {
  CoordinatorOutbox all;
  all.reserve(outbox.size());
  for (CoordinatorEffect& effect : outbox) {
    const auto* tell = std::get_if<TellWorkers>(&effect);
    if (tell == nullptr) {
      all.push_back(std::move(effect));
      continue;
    }
    for (const LinkId link : tell->links) all.push_back(TellWorker{link, tell->message});
  }
  return all;
}

}  // namespace conclave
