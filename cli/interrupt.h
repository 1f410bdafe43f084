// Ctrl-C and SIGTERM, counted. The process does not end by itself once WatchInterrupts was called.
#pragma once

#include <functional>
#include <thread>

#include "base/ids.h"

namespace conclave {

void WatchInterrupts();  // idempotent
int Interrupts();        // seen since the start or the last ForgetInterrupts
void ForgetInterrupts();
bool EndAsked();    // one of them was SIGTERM
bool HurryAsked();  // more than one: the user does not want to wait

// True when one was seen, at most `timeout` later.
bool WaitForInterrupt(Micros timeout);

// Calls `then` once, from a thread of its own, when an interrupt is seen during its life.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> then);
  ~OnInterrupt();
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;

 private:
  int ends_[2];  // a pipe: closing our end wakes the thread
  std::thread thread_;
};

}  // namespace conclave
