// Owned memory on a 64-byte boundary, zeroed: where activation rows and packed weights may lie.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

namespace conclave {

class AlignedBytes {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBytes() = default;
  explicit AlignedBytes(std::size_t size)
      : bytes_(static_cast<std::byte*>(::operator new (size + 1, std::align_val_t{kAlignment}))),
        size_(size) {
    std::memset(bytes_.get(), 0, size);
  }

  std::byte* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const {
      ::operator delete (bytes, std::align_val_t{kAlignment});
    }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  std::size_t size_ = 0;
};

}  // namespace conclave
