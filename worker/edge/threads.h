// What the operating system knows of our threads: names, which `top -H` and /proc show and which
// tests find threads by, and priorities.
//
//   main, strand (events, kernels' first lane), lane-1.. (kernels), loader (experts while nobody
//   computes, the endpoint of the next epoch), packer (experts beside running steps), loads (what
//   is loaded before the worker shows itself), heart
//   (heartbeats), link (the control stream)
#pragma once

#include <string>

namespace conclave {

void NameThisThread(const std::string& name);  // at most 15 bytes count
// Gives way to what else wants this core, for good: a thread may not raise itself again. Beside one
// other thread that never rests it still gets a quarter, so that it lets go of locks soon.
// Threads begun by it give way as well.
void LowerThisThread();
// Even more: for what is done before this process serves.
void LowerThisThreadMore();

}  // namespace conclave
