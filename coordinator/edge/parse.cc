// Bytes to messages. protobuf refuses a string that is not UTF-8 without saying which; we say.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include "absl/strings/str_cat.h"
#include "coordinator/edge/translate.h"
#include "coordinator/edge/utf8.h"

namespace conclave {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

constexpr int kDepthMax = 16;  // no request nests deeper

// The path of the first string below `fields` that is not UTF-8, or nothing.
std::string BadStringIn(const Descriptor& type, const UnknownFieldSet& fields, int depth) {
  for (int i = 0; i < fields.field_count() && depth < kDepthMax; ++i) {
    const UnknownField& field = fields.field(i);
    const FieldDescriptor* known = type.FindFieldByNumber(field.number());
    if (known == nullptr || field.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    const std::string& bytes = field.length_delimited();
    if (known->type() == FieldDescriptor::TYPE_STRING && !IsUtf8(bytes)) return known->name();
    if (known->type() != FieldDescriptor::TYPE_MESSAGE) continue;
    UnknownFieldSet inner;
    if (!inner.ParseFromString(bytes)) continue;
    const std::string path = BadStringIn(*known->message_type(), inner, depth + 1);
    if (!path.empty()) return absl::StrCat(known->name(), ".", path);
  }
  return {};
}

}  // namespace

std::optional<FieldError> Parse(std::string_view bytes, google::protobuf::Message& message) {
  const int size = static_cast<int>(bytes.size());
  if (message.ParseFromArray(bytes.data(), size)) return std::nullopt;
  UnknownFieldSet fields;
  std::string path;
  if (fields.ParseFromArray(bytes.data(), size)) {
    path = BadStringIn(*message.GetDescriptor(), fields, 0);
  }
  if (!path.empty()) return FieldError{path, "is not UTF-8"};
  return FieldError{"", absl::StrCat("not a ", message.GetTypeName())};
}

}  // namespace conclave
