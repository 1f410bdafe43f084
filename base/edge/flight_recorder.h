// What a process decided last, kept in memory for the moment when something goes wrong.
//
// Two rings of short records: decisions (who joined, what was refused, which epoch) and work (steps
// and requests). They are apart so that many steps do not overwrite the decision that led to them.
// A record is text, cut after kTextBytes, with the time of day and the time since the recorder was
// made. Lines are plain ASCII:
//
//   2031-05-04T12:00:00.123456Z +12.345678 slot 3 joins
//
// Threading: any thread may note and read at any time. Noting takes well under a microsecond; it
// neither allocates nor waits. Readers skip a record that another thread is writing.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/log.h"

namespace conclave {

class FlightRecorder {
 public:
  static constexpr std::size_t kDecisions = 4096;
  static constexpr std::size_t kWork = 4096;
  static constexpr std::size_t kTextBytes = 224;

  // `name` is the process's ("coordinator", "worker"), for readers of several recorders.
  explicit FlightRecorder(std::string name);
  FlightRecorder(const FlightRecorder&) = delete;
  FlightRecorder& operator=(const FlightRecorder&) = delete;

  // The parts, one after another: strings and numbers.
  template <class... Parts>
  void Note(const Parts&... parts) {
    Put(decisions_, {absl::AlphaNum(parts).Piece()...});
  }
  template <class... Parts>
  void NoteWork(const Parts&... parts) {
    Put(work_, {absl::AlphaNum(parts).Piece()...});
  }

  // Lines, oldest first, each with its newline; the newest that fit in `bytes_max`.
  std::string Text(std::size_t bytes_max) const;
  // The newest `lines` of them. Safe in a signal handler if `take` is.
  void EachLine(std::size_t lines, absl::FunctionRef<void(std::string_view)> take) const;

  const std::string& name() const { return name_; }

 private:
  static constexpr std::size_t kWords = kTextBytes / 8;
  // Every word is atomic, so that reading while another thread writes is defined; `state` tells the
  // reader whether the record was complete.
  struct Cell {
    std::atomic<std::uint64_t> state{0};  // 0: empty; kBusy: being written; else the ticket + 1
    std::atomic<std::int64_t> wall{0}, steady{0};
    std::atomic<std::uint64_t> bytes{0};
    std::array<std::atomic<std::uint64_t>, kWords> text{};
  };
  struct Ring {
    explicit Ring(std::size_t count) : cells(new Cell[count]), size(count) {}
    std::unique_ptr<Cell[]> cells;
    const std::size_t size;
    std::atomic<std::uint64_t> next{0};
  };
  struct Record;
  struct Cursor;

  void Put(Ring& ring, std::initializer_list<absl::string_view> parts);
  static bool Read(const Ring& ring, std::uint64_t ticket, Record& record);
  void EachRecord(absl::FunctionRef<void(const Record&)> take) const;

  const std::string name_;
  const std::int64_t began_;  // steady, ns
  Ring decisions_{kDecisions};
  Ring work_{kWork};
};

// `log`, noting every line first. The recorder outlives the function.
LogFn Recording(FlightRecorder& recorder, LogFn log);

}  // namespace conclave
