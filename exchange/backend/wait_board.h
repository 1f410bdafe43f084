// How far an exchange is, written by the thread that exchanges and read by any other. The stores are
// relaxed: they cost the exchange nothing, and a reader needs a hint only.
#pragma once

#include <atomic>
#include <cstdint>

#include "exchange/exchange.h"

namespace conclave {

class WaitBoard {
 public:
  void Begin(std::uint64_t exchange) { exchange_.store(exchange, std::memory_order_relaxed); }
  void Missing(const SlotSet& slots) {
    low_.store(slots.bits[0], std::memory_order_relaxed);
    high_.store(slots.bits[1], std::memory_order_relaxed);
  }
  void Look() {
    looks_.store(looks_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void End() {
    exchange_.store(0, std::memory_order_relaxed);
    Missing({});
  }
  ExchangeWait Read() const {
    ExchangeWait wait{.exchange = exchange_.load(std::memory_order_relaxed),
                      .missing = {},
                      .looks = looks_.load(std::memory_order_relaxed)};
    if (wait.exchange == 0) return wait;
    wait.missing.bits = {low_.load(std::memory_order_relaxed),
                         high_.load(std::memory_order_relaxed)};
    return wait;
  }

 private:
  std::atomic<std::uint64_t> exchange_{0};
  std::atomic<std::uint64_t> low_{0}, high_{0};
  std::atomic<std::uint64_t> looks_{0};
};

}  // namespace conclave
