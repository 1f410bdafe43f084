// What the operating system knows of our threads: names, which `top -H` and /proc show and which
// tests find threads by, and priorities.
//
//   main, strand (events, kernels' first lane), lane-1.. (kernels), loader (experts while nobody
//   computes, the endpoint of the next epoch), packer (experts beside running steps), heart
//   (heartbeats), link (the control stream)
#pragma once

#include <string>

namespace conclave {

void NameThisThread(const std::string& name);  // at most 15 bytes count
// Gives way to everything else on this core, for good: a thread may not raise itself again. It
// still gets a share of one or two per cent, so that it ends on a machine that is always busy.
void LowerThisThread();

}  // namespace conclave
