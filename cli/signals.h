// SIGINT and SIGTERM as something to ask about, for programs that wait.
#pragma once

namespace conclave {

// Before any thread is started: from now on the two are counted instead of ending the process.
void CatchSignals();
// The first that came (SIGINT or SIGTERM), or 0.
int SignalSeen();
// A second one came: whoever sent it does not want to wait.
bool InHurry();

}  // namespace conclave
