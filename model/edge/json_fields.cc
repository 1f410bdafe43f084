#include "model/edge/json_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {
namespace {

using Json = nlohmann::json;

// A value for a message: short, and valid UTF-8 whatever the file holds.
std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = absl::StrCat(text.substr(0, 57), "...");
  return text;
}

// nlohmann's parser keeps the message of the first error when it is driven as a SAX parser.
class FirstError : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  explicit FirstError(Json& into) : json_sax_dom_parser(into, false) {}
  template <typename Exception>
  bool parse_error(std::size_t position, const std::string& token, const Exception& error) {
    message = absl::StrCat("byte ", position, ": ", error.what());
    return json_sax_dom_parser::parse_error(position, token, error);
  }
  std::string message;
};

}  // namespace

absl::StatusOr<Json> ParseJsonObject(const std::string& text, absl::string_view file) {
  Json object;
  FirstError sax(object);
  if (!Json::sax_parse(text, &sax)) {
    return absl::InvalidArgumentError(absl::StrCat(file, " is not valid JSON: ", sax.message));
  }
  if (!object.is_object())
    return absl::InvalidArgumentError(absl::StrCat(file, ": expected a JSON object"));
  return object;
}

absl::Status JsonFields::Bad(absl::string_view key, absl::string_view problem) const {
  return absl::InvalidArgumentError(absl::StrCat(prefix_, key, ": ", problem));
}

const Json* JsonFields::Get(absl::string_view key) const {
  const auto it = object_.find(std::string(key));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<int> JsonFields::Int(absl::string_view key, int low, int high) const {
  const Json* const value = Get(key);
  if (value == nullptr) return Bad(key, "missing");
  const std::string expected =
      absl::StrCat("expected an integer in ", low, "..", high, ", found ", Shown(*value));
  if (!value->is_number_integer()) return Bad(key, expected);
  // An unsigned value beyond int64 would wrap: compare it as what it is.
  if (value->is_number_unsigned() &&
      value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT32_MAX)) {
    return Bad(key, expected);
  }
  const auto number = value->get<std::int64_t>();
  if (number < low || number > high) return Bad(key, expected);
  return static_cast<int>(number);
}

absl::StatusOr<int> JsonFields::IntOr(absl::string_view key, int low, int high,
                                      int otherwise) const {
  if (!Has(key)) return otherwise;
  return Int(key, low, high);
}

absl::StatusOr<std::optional<double>> JsonFields::Number(absl::string_view key) const {
  const Json* const value = Get(key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    return Bad(key, absl::StrCat("expected a finite number, found ", Shown(*value)));
  }
  return std::optional<double>(value->get<double>());
}

absl::StatusOr<double> JsonFields::NumberOr(absl::string_view key, double otherwise) const {
  ASSIGN_OR_RETURN(const std::optional<double> value, Number(key));
  return value.value_or(otherwise);
}

absl::StatusOr<bool> JsonFields::BoolOr(absl::string_view key, bool otherwise) const {
  const Json* const value = Get(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean())
    return Bad(key, absl::StrCat("expected true or false, found ", Shown(*value)));
  return value->get<bool>();
}

absl::StatusOr<std::string> JsonFields::StringOr(absl::string_view key,
                                                 absl::string_view otherwise) const {
  const Json* const value = Get(key);
  if (value == nullptr) return std::string(otherwise);
  if (!value->is_string())
    return Bad(key, absl::StrCat("expected a string, found ", Shown(*value)));
  return value->get<std::string>();
}

absl::StatusOr<JsonFields> JsonFields::Object(absl::string_view key) const {
  const Json* const value = Get(key);
  if (value == nullptr) return Bad(key, "missing");
  if (!value->is_object())
    return Bad(key, absl::StrCat("expected an object, found ", Shown(*value)));
  return JsonFields(*value, absl::StrCat(prefix_, key, "."));
}

}  // namespace conclave
