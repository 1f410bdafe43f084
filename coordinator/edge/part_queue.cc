#include "coordinator/edge/part_queue.h"

#include <iterator>
#include <utility>
#include <vector>

#include "base/check.h"

namespace conclave {
namespace {

std::size_t BytesOf(const std::vector<TokenLogprob>& entries) {
  std::size_t bytes = 0;
  for (const TokenLogprob& entry : entries) bytes += 16 + entry.top.size() * 12;
  return bytes;
}

std::size_t BytesOf(const StreamPart& part) {
  return part.ids.size() * 4 + part.text.size() + BytesOf(part.logprobs) +
         BytesOf(part.prompt_logprobs) + part.routed.size() * 2;
}

template <typename T>
void Append(std::vector<T>& to, std::vector<T>&& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::move_iterator(from.begin()), std::move_iterator(from.end()));
  }
}

}  // namespace

void PartQueue::Add(StreamPart part) {
  const std::size_t bytes = BytesOf(part);
  if (parts_.empty() || parts_.back().bytes + bytes > kMessageBytesMax) {
    parts_.push_back({std::move(part), bytes});
    return;
  }
  Sized& last = parts_.back();
  CONCLAVE_CHECK(!last.part.ending.has_value(), "a part after the last");
  Append(last.part.ids, std::move(part.ids));
  last.part.text += part.text;
  Append(last.part.logprobs, std::move(part.logprobs));
  Append(last.part.prompt_logprobs, std::move(part.prompt_logprobs));
  Append(last.part.routed, std::move(part.routed));
  last.part.ending = std::move(part.ending);
  last.bytes += bytes;
}

StreamPart PartQueue::Take() {
  CONCLAVE_CHECK(!parts_.empty());
  StreamPart part = std::move(parts_.front().part);
  parts_.pop_front();
  return part;
}

}  // namespace conclave
