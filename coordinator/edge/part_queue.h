// What a client has yet to read, joined into as few messages as fit. Bounded by what its request
// can produce; a client that reads slowly gets longer messages, not more of them.
#pragma once

#include <cstddef>
#include <deque>

#include "coordinator/events.h"

namespace conclave {

class PartQueue {
 public:
  // Tokens join the last message until it has so many bytes. One token's share is never split.
  static constexpr std::size_t kMessageBytesMax = std::size_t{256} << 10;

  void Add(StreamPart part);
  bool empty() const { return parts_.empty(); }
  StreamPart Take();  // the oldest; not when empty

 private:
  struct Sized {
    StreamPart part;
    std::size_t bytes;
  };
  std::deque<Sized> parts_;
};

}  // namespace conclave
