// Several backends in one process, each driven by its own thread, and frames whose every byte can
// be computed from who sent it to whom in which exchange of which epoch.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "exchange/backends.h"
#include "exchange/exchange.h"

namespace conclave {

struct FrameName {
  std::uint64_t epoch = 0;
  std::uint64_t exchange = 0;
  std::int32_t from = 0;
  std::int32_t to = 0;
};
std::size_t PatternBytes(const FrameName& name);  // 1 byte to some MiB, edges of protocols included
void FillPattern(const FrameName& name, std::span<std::byte> bytes);
// Empty when right, else what is wrong.
std::string CheckPattern(const FrameName& name, std::span<const std::byte> bytes);

// Room for one frame per source, between guard bytes.
class TestSink final : public FrameSink {
 public:
  explicit TestSink(std::size_t capacity);
  std::span<std::byte> Reserve(Slot from, std::size_t bytes) override;
  void Clear();  // forgets and poisons what arrived
  std::span<const std::byte> From(Slot slot) const;
  bool GuardsHold() const;
  int reserved() const { return reserved_; }

 private:
  std::size_t capacity_;
  std::vector<std::byte> room_;
  std::vector<std::size_t> bytes_;  // by slot
  std::vector<std::byte*> place_;   // by slot
  std::size_t used_ = 0;
  int reserved_ = 0;
};

using SizeFn = std::function<std::size_t(const FrameName&)>;

// One worker: a backend, its buffers and its place in the epoch.
class Party {
 public:
  Party(std::unique_ptr<ExchangeBackend> backend, Slot slot);
  Slot slot() const { return slot_; }
  ExchangeBackend& backend() { return *backend_; }
  absl::Status Open(Epoch epoch, const std::vector<Peer>& peers);
  // One exchange with patterned frames; checks everything that arrived. A frame that differs is
  // reported as Internal, which no backend returns.
  absl::Status Exchange(Micros timeout);
  void set_size(SizeFn size) { size_ = std::move(size); }
  void set_capacity(std::size_t bytes) { sink_ = std::make_unique<TestSink>(bytes); }

 private:
  std::unique_ptr<ExchangeBackend> backend_;
  Slot slot_;
  SizeFn size_ = PatternBytes;
  std::unique_ptr<TestSink> sink_;
  std::vector<std::vector<std::byte>> outgoing_;
  EpochView view_;
  std::uint64_t exchange_ = 0;
};

struct BackendKind {
  std::string name;        // of the backend
  std::string transports;  // for ucx
};
std::vector<BackendKind> KindsHere();  // each kind that this build has

class Rig {
 public:
  Rig(const BackendKind& kind, const std::vector<int>& slots);
  int size() const { return static_cast<int>(parties_.size()); }
  Party& party(int i) { return *parties_[static_cast<std::size_t>(i)]; }
  // Addresses of the parties named (all when empty), as the coordinator would send them.
  std::vector<Peer> Peers(const std::vector<int>& members = {});
  // Runs body(i) on a thread per member, and waits for all.
  void Each(const std::vector<int>& members, const std::function<void(int)>& body);
  void Each(const std::function<void(int)>& body);
  std::vector<int> All() const;
  // Opens `epoch` among the members and expects `exchanges` right ones.
  void ExpectWorks(Epoch epoch, int exchanges, const std::vector<int>& members = {});

 private:
  LocalHub hub_;
  std::vector<std::unique_ptr<Party>> parties_;
};

inline constexpr Micros kLong = Micros{60} * 1000 * 1000;  // never reached in a test that passes

}  // namespace conclave
