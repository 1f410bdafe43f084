// What the operating system says about this machine and this process.
#pragma once

#include <cstdint>
#include <string>

namespace conclave {

// That nobody uses, or only as a copy of a file; within the limit of this process's control group.
std::uint64_t AvailableMemoryBytes();  // 0: unknown
// Of a control group (version 2), by its folder; the largest number: it has no limit.
std::uint64_t MemoryLeftInGroup(const std::string& folder);
std::uint64_t ResidentBytes();  // of this process
int CoresHere();                // that this process may run on
std::string HostAndPid();       // "host:pid", for people
std::string NewUuid();          // random, version 4

}  // namespace conclave
