// The cluster's state as the contract's JSON object, and for people. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conclave/v1/admin.pb.h"

namespace conclave {

std::string StatusJson(const v1::GetClusterResponse& cluster);
// Several lines; with which experts where, if the response has them.
std::string StatusTable(const v1::GetClusterResponse& cluster);

// Rising ids, briefly: {0, 1, 2, 5} is "0-2,5".
std::string Ranges(const std::vector<std::int32_t>& ids);

}  // namespace conclave
