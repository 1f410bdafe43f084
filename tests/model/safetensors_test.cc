// The safetensors header: what is read, and every way in which it is refused.
#include "model/edge/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/files.h"

namespace conclave {
namespace {

using testing::HasSubstr;

absl::StatusOr<SafetensorsHeader> Parse(const std::string& file) {
  return ParseSafetensors(std::as_bytes(std::span(file)));
}

absl::StatusOr<SafetensorsHeader> Parse(const std::string& json, std::size_t data_bytes) {
  return Parse(SafetensorsBytes(json, data_bytes));
}

constexpr const char* kTwo = R"({"__metadata__": {"format": "pt", "x": ""},
  "b": {"data_offsets": [12, 20], "dtype": "F32", "shape": [2]},
  "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}})";

TEST(Safetensors, ReadsTensorsInFileOrder) {
  // A header must start with '{': the raw literal does.
  const auto header = Parse(kTwo, 20);
  ASSERT_TRUE(header.ok()) << header.status();
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[0].dtype, "BF16");
  EXPECT_EQ(ShapeText(header->tensors[0].shape), "[2, 3]");
  EXPECT_EQ(header->tensors[0].begin, header->bytes);
  EXPECT_EQ(header->tensors[1].name, "b");
  EXPECT_EQ(header->tensors[1].end, header->bytes + 20);
}

TEST(Safetensors, EmptyTensorsAndScalarsAreLegal) {
  const auto header = Parse(R"({"z": {"dtype": "F32", "shape": [0, 5], "data_offsets": [4, 4]},
                               "s": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
                               "y": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}})",
                            4);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors.size(), 3u);
  EXPECT_TRUE(Parse("{}", 0).ok());
}

struct BadHeader {
  std::string json;
  std::size_t data_bytes;
  const char* message;
};

std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w": {"dtype": )" + dtype + R"(, "shape": )" + shape + R"(, "data_offsets": )" +
         offsets + "}}";
}

TEST(Safetensors, RefusesBadHeaders) {
  const std::string f32 = R"("F32")";
  const BadHeader table[] = {
      {One(R"("Q4")", "[2]", "[0, 8]"), 8, "tensor w: dtype \"Q4\""},
      {One("7", "[2]", "[0, 8]"), 8, "tensor w: a number"},
      {One(f32, "[2]", "[0, 7]"), 8,
       "tensor w: data_offsets span 7 bytes; shape [2] of F32 needs 8"},
      {One(f32, "[2]", "[8, 0]"), 8, "tensor w: data_offsets run backwards"},
      {One(f32, "[2]", "[0, 8]"), 7, "tensor w: its data ends at byte 8 but the file holds 7"},
      {One(f32, "[2]", "[0, 8]"), 9, "its header accounts for"},
      {One(f32, "[2]", "[4, 12]"), 12, "tensor w: a gap of 4 bytes"},
      {One(f32, "[2]", "[0, 8, 8]"), 8, "tensor w: data_offsets has more"},
      {One(f32, "[2]", "[0]"), 8, "tensor w: data_offsets must hold 2"},
      {One(f32, "[-2]", "[0, 8]"), 8, "tensor w: a negative number"},
      {One(f32, "[2.0]", "[0, 8]"), 8, "tensor w: a fraction"},
      {One(f32, "[[2]]", "[0, 8]"), 8, "tensor w: a list"},
      {One(f32, "2", "[0, 8]"), 8, "tensor w: a number"},
      {One(f32, "[1,1,1,1,1,1,1,1,2]", "[0, 8]"), 8, "tensor w: shape has too many dimensions"},
      {One(f32, "[4294967296, 4294967296]", "[0, 0]"), 0,
       "tensor w: shape [4294967296, 4294967296] is too large"},
      {One(f32, "[18446744073709551615]", "[0, 8]"), 8, "tensor w: a number is too large"},
      {One(f32, "[99999999999999999999999]", "[0, 8]"), 8, "tensor w: a fraction"},
      {R"({"w": {"dtype": "F32", "shape": [2]}})", 8, "tensor w: dtype, shape and data_offsets"},
      {R"({"w": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", 8,
       "given twice"},
      {R"({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "extra": 1}})", 8,
       "tensor w: it has a key"},
      {R"({"w": 3})", 8, "tensor w: a number"},
      {R"({"w": null})", 8, "tensor w: null"},
      {R"({"__metadata__": {"a": {"b": "c"}}})", 0, "an object"},
      {R"({"__metadata__": {"a": 1}})", 0, "a number"},
      {R"({"": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", 8, "name has 0 bytes"},
      {R"({"w": )", 8, "not valid JSON"},
      {R"({} trailing)", 0, "not valid JSON"},
      {" {}", 0, "does not start with '{'"},
      {"", 0, "does not start with '{'"},
      {"{\"w\xff\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 8,
       "not valid JSON"},
      {"{\"w\xc0\xaf\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 8,
       "not valid JSON"},
      {"{\"" + std::string(513, 'w') + "\": {}}", 8, "name has 513 bytes"},
      {std::string(100000, '{'), 0, "not valid JSON"},
      {"{\"w\": " + std::string(100000, '['), 0, "tensor w: a list"},
  };
  for (const BadHeader& bad : table) {
    const auto header = Parse(bad.json, bad.data_bytes);
    ASSERT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument)
        << bad.json.substr(0, 200);
    EXPECT_THAT(std::string(header.status().message()), HasSubstr(bad.message))
        << bad.json.substr(0, 200);
  }
}

std::string TwoTensors(const std::string& first, const std::string& offsets,
                       const std::string& second, const std::string& more) {
  return "{\"" + first + R"(": {"dtype": "F32", "shape": [2], "data_offsets": )" + offsets +
         "}, \"" + second + R"(": {"dtype": "F32", "shape": [2], "data_offsets": )" + more + "}}";
}

TEST(Safetensors, RefusesOverlapAndDuplicates) {
  EXPECT_THAT(std::string(Parse(TwoTensors("v", "[0, 8]", "w", "[4, 12]"), 12).status().message()),
              HasSubstr("tensor w overlaps tensor v"));
  EXPECT_THAT(std::string(Parse(TwoTensors("v", "[0, 8]", "w", "[0, 8]"), 8).status().message()),
              HasSubstr("overlaps"));
  EXPECT_THAT(std::string(Parse(TwoTensors("w", "[0, 8]", "w", "[8, 16]"), 16).status().message()),
              HasSubstr("tensor w is there twice"));
  EXPECT_TRUE(Parse(TwoTensors("v", "[0, 8]", "w", "[8, 16]"), 16).ok());
}

TEST(Safetensors, RefusesBadSizeWords) {
  EXPECT_FALSE(Parse(std::string()).ok());
  EXPECT_THAT(std::string(Parse(std::string(7, 'x')).status().message()), HasSubstr("has 7 bytes"));
  EXPECT_THAT(std::string(Parse(std::string(8, '\xff') + "{}").status().message()),
              HasSubstr("exceeds"));
  const std::string size_99 = std::string("\x63\0\0\0\0\0\0\0", 8);
  EXPECT_THAT(std::string(Parse(size_99 + "{}").status().message()), HasSubstr("truncated"));
}

TEST(Safetensors, RefusesEveryTruncation) {
  const std::string file = SafetensorsBytes(kTwo, 20);
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Parse(file.substr(0, size)).ok()) << size;
  }
  EXPECT_TRUE(Parse(file).ok());
  EXPECT_FALSE(Parse(file + '\0').ok());
}

}  // namespace
}  // namespace conclave
