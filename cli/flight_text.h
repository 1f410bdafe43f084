// The flight recorders of several processes as one story. Pure.
#pragma once

#include <string>

#include "conclave/v1/admin.pb.h"

namespace conclave {

// Every line with its process's name, by time of day; lines of one process keep their order.
std::string FlightText(const v1::GetFlightRecorderResponse& response);
// The same, one JSON object per line: time, process, since_start_s, message. A process that gave
// nothing has process and error.
std::string FlightJson(const v1::GetFlightRecorderResponse& response);

}  // namespace conclave
