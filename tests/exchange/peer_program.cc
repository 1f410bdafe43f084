// One worker's data plane in a process of its own, told what to do line by line. For
// processes_test.
//   exchange_peer SLOT [TRANSPORTS]
//   address                        -> address HEX
//   open EPOCH SLOT:HEX ...        -> ok | error WHY
//   run COUNT                      -> (running, after 100 exchanges) then ok | error WHY
//   close                          -> ok
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "exchange/rig.h"

namespace conclave {
namespace {

constexpr Micros kPatience = 2 * 1000 * 1000;

// Mostly small frames, some by rendezvous, so that a kill falls into all kinds of moments.
std::size_t MixedBytes(const FrameName& name) {
  return name.exchange % 8 == 7 ? std::size_t{600} << 10 : 64 + PatternBytes(name) % 30000;
}

void Answer(const absl::Status& status) {
  if (status.ok()) {
    std::puts("ok");
  } else {
    std::printf("error %s\n", status.ToString().c_str());
  }
  std::fflush(stdout);
}

absl::Status Open(Party& party, std::istringstream& words) {
  Epoch epoch(1, 0);
  words >> epoch.number;
  std::vector<Peer> peers;
  for (std::string word; words >> word;) {
    const std::vector<std::string> parts = absl::StrSplit(word, ':');
    peers.push_back(
        {.slot = Slot{std::atoi(parts[0].c_str())}, .address = absl::HexStringToBytes(parts[1])});
  }
  return party.Open(epoch, peers);
}

absl::Status RunExchanges(Party& party, std::istringstream& words) {
  long count = 0;
  words >> count;
  for (long n = 0; n < count; ++n) {
    if (const absl::Status status = party.Exchange(kPatience); !status.ok()) return status;
    if (n == 100) {
      std::puts("running");
      std::fflush(stdout);
    }
  }
  return absl::OkStatus();
}

int Serve(int slot, const std::string& transports) {
  auto backend = NewUcxBackend({.transports = transports});
  if (!backend.ok()) {
    Answer(backend.status());
    return 1;
  }
  Party party(*std::move(backend), Slot{slot});
  party.set_size(MixedBytes);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "address") {
      std::printf("address %s\n",
                  absl::BytesToHexString(party.backend().StandbyAddress().value()).c_str());
      std::fflush(stdout);
    } else if (verb == "open") {
      Answer(Open(party, words));
    } else if (verb == "run") {
      Answer(RunExchanges(party, words));
    } else if (verb == "close") {
      party.backend().Close();
      Answer(absl::OkStatus());
    }
  }
  return 0;
}

}  // namespace
}  // namespace conclave

int main(int argc, char** argv) {
  return argc < 2 ? 2 : conclave::Serve(std::atoi(argv[1]), argc > 2 ? argv[2] : "");
}
