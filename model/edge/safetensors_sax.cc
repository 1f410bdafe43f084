#include "model/edge/safetensors_sax.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/edge/safetensors.h"

namespace conclave {
namespace {

using Json = nlohmann::json;

// Where in the header the reader stands. The format has exactly this much structure.
enum class Place : std::uint8_t {
  kStart,
  kTop,
  kMetadata,
  kTensorName,
  kTensor,
  kShape,
  kOffsets,
  kDone
};

class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(std::vector<StatedTensor>& tensors) : tensors_(tensors) {}
  const std::string& problem() const { return problem_; }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t&) override { return Unexpected("a fraction"); }
  bool binary(binary_t&) override { return Unexpected("binary"); }

  bool number_integer(number_integer_t value) override {
    if (value < 0) return Unexpected("a negative number");
    return number_unsigned(static_cast<number_unsigned_t>(value));
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return Fail("a number is too large");
    }
    if (place_ == Place::kShape) {
      if (tensors_.back().shape.size() == kTensorRankMax)
        return Fail("shape has too many dimensions");
      tensors_.back().shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (tensors_.back().offsets.size() == 2) return Fail("data_offsets has more than 2 numbers");
      tensors_.back().offsets.push_back(value);
      return true;
    }
    return Unexpected("a number");
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata)
      return true;  // strings only, by the format; their content is not ours
    if (place_ == Place::kTensor && field_ == "dtype") {
      tensors_.back().dtype = std::move(value);
      return true;
    }
    return Unexpected("a string");
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) return Go(Place::kTop);
    if (place_ == Place::kTensorName) return Go(metadata_next_ ? Place::kMetadata : Place::kTensor);
    return Unexpected("an object");
  }

  bool key(string_t& name) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ == Place::kTop) return StartEntry(name);
    for (const absl::string_view known : {"dtype", "shape", "data_offsets"}) {
      if (name == known) {
        field_ = known;
        return See(known);
      }
    }
    return Fail("it has a key other than dtype, shape and data_offsets");
  }

  bool end_object() override {
    if (place_ == Place::kTop) return Go(Place::kDone);
    if (place_ == Place::kTensor && seen_ != kAllSeen) {
      return Fail("dtype, shape and data_offsets are expected; one is missing");
    }
    return Go(Place::kTop);
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || field_ == "dtype") return Unexpected("a list");
    return Go(field_ == "shape" ? Place::kShape : Place::kOffsets);
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && tensors_.back().offsets.size() != 2) {
      return Fail("data_offsets must hold 2 numbers");
    }
    return Go(Place::kTensor);
  }

  bool parse_error(std::size_t position, const std::string&,
                   const Json::exception& error) override {
    problem_ = absl::StrCat("header is not valid JSON at byte ", position, ": ", error.what());
    return false;
  }

 private:
  static constexpr unsigned kAllSeen = 7;

  bool Go(Place place) {
    place_ = place;
    return true;
  }

  bool StartEntry(string_t& name) {
    metadata_next_ = name == "__metadata__";
    place_ = Place::kTensorName;
    if (metadata_next_) return true;
    if (name.empty() || name.size() > kTensorNameBytesMax) {
      problem_ = absl::StrCat("a tensor's name has ", name.size(), " bytes; expected 1..",
                              kTensorNameBytesMax);
      return false;
    }
    if (tensors_.size() == kTensorsPerFileMax) {
      problem_ = absl::StrCat("more than ", kTensorsPerFileMax, " tensors");
      return false;
    }
    tensors_.push_back({std::move(name), {}, {}, {}});
    seen_ = 0;
    return true;
  }

  bool See(absl::string_view known) {
    const unsigned bit = known == "dtype" ? 1 : known == "shape" ? 2 : 4;
    if ((seen_ & bit) != 0) return Fail(absl::StrCat(known, " is given twice"));
    seen_ |= bit;
    return true;
  }

  bool Fail(absl::string_view what) {
    problem_ = tensors_.empty() ? std::string(what)
                                : absl::StrCat("tensor ", tensors_.back().name, ": ", what);
    return false;
  }

  bool Unexpected(absl::string_view what) {
    return Fail(absl::StrCat(what, " where the format has none"));
  }

  std::vector<StatedTensor>& tensors_;
  std::string problem_;
  absl::string_view field_;
  Place place_ = Place::kStart;
  unsigned seen_ = 0;
  bool metadata_next_ = false;
};

}  // namespace

absl::Status ReadStatedTensors(absl::string_view json, std::vector<StatedTensor>& tensors) {
  HeaderReader reader(tensors);
  if (Json::sax_parse(json.begin(), json.end(), &reader)) return absl::OkStatus();
  return absl::InvalidArgumentError(reader.problem());
}

}  // namespace conclave
