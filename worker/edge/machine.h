// What the operating system says about this machine and this process.
#pragma once

#include <cstdint>
#include <string>

namespace conclave {

std::uint64_t AvailableMemoryBytes();  // 0: unknown
std::uint64_t ResidentBytes();         // of this process
int CoresHere();                       // that this process may run on
std::string HostAndPid();              // "host:pid", for people
std::string NewUuid();                 // random, version 4

}  // namespace conclave
