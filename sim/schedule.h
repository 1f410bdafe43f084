// Virtual time: what happens next is what is due next, and of two things due at one time the one
// that was planned first. Nothing else decides an order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace conclave::sim {

class Schedule {
 public:
  using Deed = std::function<void()>;

  Micros now() const { return now_; }
  void At(Micros when, Deed deed) {
    CONCLAVE_CHECK(when >= now_, "time goes back");
    due_.push_back({when, next_++, std::move(deed)});
    std::push_heap(due_.begin(), due_.end(), Later);
  }
  void After(Micros delay, Deed deed) { At(now_ + delay, std::move(deed)); }

  // False when nothing is left to happen.
  bool RunNext() {
    if (due_.empty()) return false;
    std::pop_heap(due_.begin(), due_.end(), Later);
    Due next = std::move(due_.back());
    due_.pop_back();
    now_ = next.when;
    next.deed();
    return true;
  }

 private:
  struct Due {
    Micros when;
    std::uint64_t number;
    Deed deed;
  };
  static bool Later(const Due& a, const Due& b) {
    return std::pair(a.when, a.number) > std::pair(b.when, b.number);
  }

  Micros now_ = 0;
  std::uint64_t next_ = 0;
  std::vector<Due> due_;
};

}  // namespace conclave::sim
