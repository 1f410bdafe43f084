// Names and priorities of a worker's threads. `top -H` and /proc show the names, and tests find
// threads by them.
//
//   main
//   strand         takes events, and is the first thread of the kernels' team
//   lane-1, ...    the other threads of the team
//   loader         loads experts while no step runs, and opens a staged epoch's exchange
//   packer         packs experts while steps run
//   loads          loads the shared weights before the worker says Hello
//   heart          sends heartbeats
//   link           keeps the control stream
#pragma once

#include <string>

namespace conclave {

void NameThisThread(const std::string& name);  // at most 15 bytes count
// Lowers the calling thread's priority for good: a thread may not raise it again. Next to one busy
// thread of normal priority it still gets a quarter of a core, so that it releases locks soon.
// Threads that it starts have the lower priority, too.
void LowerThisThread();
// Lowers it further, for what is done before this process serves.
void LowerThisThreadMore();

}  // namespace conclave
