#include "base/edge/flight_recorder.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace conclave {
namespace {

constexpr std::uint64_t kBusy = ~std::uint64_t{0};
constexpr std::size_t kPrefixBytes = 80;  // both times and blanks

std::int64_t NanosOf(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Decimal, at least `width` digits. The C library's own ways are not safe in a signal handler.
char* PutNumber(char* at, std::int64_t value, int width) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0 || count < width);
  while (count > 0) *at++ = digits[--count];
  return at;
}

char* PutText(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

// The civil date of a count of days since 1970 (after 1970): years begin in March, so that the day
// that some years lack is the last.
char* PutDate(char* at, std::int64_t days) {
  const std::int64_t shifted = days + 719468;
  const std::int64_t era = shifted / 146097, of_era = shifted % 146097;
  const std::int64_t year_of_era =
      (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const std::int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t march_month = (5 * of_year + 2) / 153;
  const std::int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  at = PutNumber(at, year_of_era + era * 400 + (month <= 2 ? 1 : 0), 4);
  at = PutNumber(PutText(at, "-"), month, 2);
  return PutNumber(PutText(at, "-"), of_year - (153 * march_month + 2) / 5 + 1, 2);
}

char* PutTimes(char* at, std::int64_t wall, std::int64_t since) {
  const std::int64_t seconds = wall / 1'000'000;
  at = PutText(PutDate(at, seconds / 86400), "T");
  at = PutText(PutNumber(at, seconds / 3600 % 24, 2), ":");
  at = PutText(PutNumber(at, seconds / 60 % 60, 2), ":");
  at = PutText(PutNumber(at, seconds % 60, 2), ".");
  at = PutText(PutNumber(at, wall % 1'000'000, 6), "Z +");
  at = PutText(PutNumber(at, since / 1'000'000, 1), ".");
  return PutText(PutNumber(at, since % 1'000'000, 6), " ");
}

}  // namespace

struct FlightRecorder::Record {
  std::int64_t wall = 0;    // us
  std::int64_t steady = 0;  // ns: tells which ring's record was first
  std::size_t bytes = 0;
  char text[kTextBytes];
};

// Where a reader is in a ring: the record it will give next.
struct FlightRecorder::Cursor {
  explicit Cursor(const Ring& of) : ring(of), end(of.next.load(std::memory_order_acquire)) {
    ticket = end > ring.size ? end - ring.size : 0;
    Advance();
  }
  void Advance() {
    valid = false;
    while (!valid && ticket < end) valid = Read(ring, ticket++, record);
  }
  const Ring& ring;
  const std::uint64_t end;
  std::uint64_t ticket = 0;
  bool valid = false;
  Record record;
};

FlightRecorder::FlightRecorder(std::string name)
    : name_(std::move(name)), began_(NanosOf(CLOCK_MONOTONIC)) {}

void FlightRecorder::Put(Ring& ring, std::initializer_list<absl::string_view> parts) {
  const std::uint64_t ticket = ring.next.fetch_add(1, std::memory_order_relaxed);
  Cell& cell = ring.cells[ticket % ring.size];
  std::uint64_t state = cell.state.load(std::memory_order_relaxed);
  // Somebody who was here a whole ring ago is still writing: this record is lost.
  if (state == kBusy || !cell.state.compare_exchange_strong(state, kBusy)) return;
  std::uint64_t words[kWords] = {};
  auto* const text = reinterpret_cast<char*>(words);
  std::size_t bytes = 0;
  for (const absl::string_view part : parts) {
    const std::size_t taken = std::min(part.size(), kTextBytes - bytes);
    std::memcpy(text + bytes, part.data(), taken);
    bytes += taken;
  }
  // Releases: a reader that sees one of these words sees kBusy afterwards.
  cell.wall.store(NanosOf(CLOCK_REALTIME) / 1000, std::memory_order_release);
  cell.steady.store(NanosOf(CLOCK_MONOTONIC), std::memory_order_release);
  cell.bytes.store(bytes, std::memory_order_release);
  for (std::size_t i = 0; i * 8 < bytes; ++i) {
    cell.text[i].store(words[i], std::memory_order_release);
  }
  cell.state.store(ticket + 1, std::memory_order_release);
}

// False: overwritten, or being written.
bool FlightRecorder::Read(const Ring& ring, std::uint64_t ticket, Record& record) {
  const Cell& cell = ring.cells[ticket % ring.size];
  if (cell.state.load(std::memory_order_acquire) != ticket + 1) return false;
  record.wall = cell.wall.load(std::memory_order_acquire);
  record.steady = cell.steady.load(std::memory_order_acquire);
  record.bytes = std::min<std::size_t>(cell.bytes.load(std::memory_order_acquire), kTextBytes);
  for (std::size_t i = 0; i * 8 < record.bytes; ++i) {
    const std::uint64_t word = cell.text[i].load(std::memory_order_acquire);
    std::memcpy(record.text + i * 8, &word, 8);
  }
  return cell.state.load(std::memory_order_relaxed) == ticket + 1;
}

void FlightRecorder::EachRecord(absl::FunctionRef<void(const Record&)> take) const {
  Cursor decision(decisions_), work(work_);
  while (decision.valid || work.valid) {
    const bool work_first =
        !decision.valid || (work.valid && work.record.steady < decision.record.steady);
    Cursor& next = work_first ? work : decision;
    take(next.record);
    next.Advance();
  }
}

void FlightRecorder::EachLine(std::size_t lines,
                              absl::FunctionRef<void(std::string_view)> take) const {
  std::size_t count = 0;
  EachRecord([&](const Record&) { ++count; });
  std::size_t skip = count > lines ? count - lines : 0;
  EachRecord([&](const Record& record) {
    if (skip > 0) {
      --skip;
      return;
    }
    char line[kPrefixBytes + kTextBytes + 1];
    char* at = PutTimes(line, record.wall, (record.steady - began_) / 1000);
    for (std::size_t i = 0; i < record.bytes; ++i) {
      const char c = record.text[i];
      *at++ = c >= ' ' && c <= '~' ? c : c == '\n' || c == '\t' ? ' ' : '?';
    }
    *at++ = '\n';
    take({line, static_cast<std::size_t>(at - line)});
  });
}

std::string FlightRecorder::Text(std::size_t bytes_max) const {
  std::string text;
  EachLine(kDecisions + kWork, [&](std::string_view line) { text += line; });
  if (text.size() <= bytes_max) return text;
  const std::size_t cut = text.find('\n', text.size() - bytes_max - 1);
  return cut == std::string::npos ? std::string() : text.substr(cut + 1);
}

LogFn Recording(FlightRecorder& recorder, LogFn log) {
  return [&recorder, log = std::move(log)](LogLevel level, std::string_view line) {
    constexpr absl::string_view kMarks[] = {"", "warning: ", "error: "};
    recorder.Note(kMarks[static_cast<std::size_t>(level)],
                  absl::string_view(line.data(), line.size()));
    log(level, line);
  };
}

}  // namespace conclave
