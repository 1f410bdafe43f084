#include "cli/ask.h"

#include <cstdint>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "cli/flags.h"
#include "cli/interrupt.h"

namespace conclave {
namespace {

constexpr Micros kConnectLimit = 1'000'000;

std::string NewId() {
  std::random_device dice;
  const auto roll = [&dice] { return std::uint64_t{dice()} << 32 | dice(); };
  return absl::StrCat("c-", absl::Hex(roll(), absl::kZeroPad16),
                      absl::Hex(roll(), absl::kZeroPad16));
}

}  // namespace

AskResult Ask(Client& client, v1::GenerateRequest request, Micros retry_for,
              absl::FunctionRef<void(const v1::GenerateResponse&)> on_part) {
  if (retry_for > 0 && request.request_id().empty()) request.set_request_id(NewId());
  ResumingStream stream(std::move(request), retry_for);
  for (;;) {
    const grpc::Status status =
        client.Generate(stream.request(), [&](const v1::GenerateResponse& part) {
          stream.Read(part);
          on_part(part);
        });
    const std::optional<Micros> wait = stream.Ended(status, SteadyMicros());
    if (!wait.has_value() || WaitForInterrupt(*wait)) break;
    client.AwaitConnection(kConnectLimit);
  }
  return {.status = stream.status(), .cuts = stream.cuts()};
}

void AddRetryFlag(CLI::App& app, Micros& retry_for) {
  AddDuration(app, "--retry-for", retry_for,
              "when the cluster cannot be reached or serve: ask again for so long, and read on "
              "where the answer broke off; 0: never");
}

}  // namespace conclave
