// Templates that try to run for ever or to take all memory end with an error, within bounds.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "text_data.h"

namespace conclave {
namespace {

struct Case {
  const char* name;
  const char* source;
};

std::ostream& operator<<(std::ostream& out, const Case& hostile) { return out << hostile.name; }

class HostileTemplate : public testing::TestWithParam<Case> {};

// Each doubles or repeats something inside a loop that would take years to end.
constexpr const char* kLoop =
    "{% set ns = namespace(x='0123456789' * 10, l=[1], d={}) %}{% set text = messages[0].content %}"
    "{% for i in range(100000) %}{% for j in range(100000) %}{% for k in range(100000) %}";
constexpr const char* kEnd = "{% endfor %}{% endfor %}{% endfor %}{{ ns.x }}{{ ns.l }}";

INSTANTIATE_TEST_SUITE_P(
    Attacks, HostileTemplate,
    testing::Values(
        Case{"nothing", ""}, Case{"print", "{{ text }}"}, Case{"raw", "0123456789"},
        Case{"concat", "{% set ns.x = ns.x ~ ns.x %}"}, Case{"add", "{% set ns.x = ns.x + ns.x %}"},
        Case{"repeat", "{% set ns.x = ns.x * 1000 %}"},
        Case{"repeat_list", "{% set ns.l = ns.l * 1000 %}"},
        Case{"add_list", "{% set ns.l = ns.l + ns.l %}"},
        Case{"capture", "{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = x %}"},
        Case{"replace", "{% set ns.x = ns.x | replace('0', ns.x) %}"},
        Case{"replace_method", "{% set ns.x = ns.x.replace('', ns.x) %}"},
        Case{"join", "{% set ns.x = [ns.x, ns.x] | join(ns.x) %}"},
        Case{"join_method", "{% set ns.x = ns.x.join([ns.x, ns.x]) %}"},
        Case{"indent", "{% set ns.x = ('\n' * 1000) | indent(100000000) %}"},
        Case{"indent_named", "{% set ns.x = ('\n' * 1000) | indent(width=100000000) %}"},
        Case{"map_indent", "{% set ns.l = ['\n\n'] | map('indent', 1000000000) | list %}"},
        Case{"format", "{% set ns.x = '%99999999d' | format(1) %}{% set ns.l = ns.l + [ns.x] %}"},
        Case{"format_method",
             "{% set ns.x = '{:99999999}'.format(1) %}{% set ns.l = ns.l + [ns.x] %}"},
        Case{"batch", "{% set ns.x = [1] | batch(1000000000, 'x') | list %}"},
        Case{"slice", "{% set ns.x = [1] | slice(1000000000) | list %}"},
        Case{"upper", "{% set x = text | upper %}"}, Case{"list", "{% set x = text | list %}"},
        Case{"split", "{% set x = text.split('a') %}"}, Case{"cut", "{% set x = text[1:] %}"},
        Case{"search", "{% set x = 'b' in text %}"}, Case{"tojson", "{% set x = text | tojson %}"},
        Case{"test_eq", "{% set x = (text ~ 'a') is eq(text ~ 'b') %}"},
        Case{"nest", "{% set ns.l = [ns.l, ns.l] %}"},
        Case{"nest_equal", "{% set ns.l = [ns.l, ns.l] %}{% set x = ns.l == [ns.l, 1] %}"},
        Case{"nest_json", "{% set ns.l = [ns.l, ns.l] %}{% set x = ns.l | tojson %}"},
        Case{"nest_string", "{% set ns.l = [ns.l, ns.l] %}{% set x = ns.l | string %}"},
        Case{"nest_unique", "{% set ns.l = [ns.l, ns.l] %}{% set x = ns.l | unique | list %}"},
        Case{"nest_deep", "{% set ns.l = [ns.l] %}"},
        Case{"nest_map", "{% set ns.d = {'d': ns.d} %}"},
        Case{"nest_lazy", "{% set ns.l = ns.l | reverse %}"},
        Case{"cycle", "{% set ns.d = ns %}{{ ns }}"},
        Case{"cycle_equal", "{% set ns.d = ns %}{% set x = ns == namespace(d=ns) %}"},
        Case{"unpack", "{% set ns.l = dict(**messages[0]) %}"},
        Case{"select", "{% set x = [text] * 1000 | select('equalto', text) | list %}"},
        Case{"select_attr", "{% set x = messages | selectattr('content', 'eq', text) | list %}"},
        Case{"map_attribute", "{% set ns.l = ns.l + messages | map(attribute='x') | list %}"},
        Case{"count_nothing", "{% set x = text.count('') %}"}),
    [](const auto& param) { return param.param.name; });

std::int64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

TEST_P(HostileTemplate, EndsWithAnError) {
  ChatInput input;
  input.messages_json = R"([{"content": ")" + std::string(1'000'000, 'a') + "\"}]";
  const absl::Status status =
      RenderTemplate(std::string(kLoop) + GetParam().source + kEnd, input, "{}").status();
  EXPECT_TRUE(absl::IsResourceExhausted(status) || absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(std::string(status.message()).rfind("chat template", 0), 0u) << status;
  EXPECT_LT(PeakBytes(), std::int64_t{3} << 30);
}

TEST(HostileTemplateAlone, RecursionEnds) {
  const ChatInput input = {.messages_json = "[]"};
  const std::string macro = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
  EXPECT_FALSE(RenderTemplate(macro, input, "{}").ok());
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "(";
  EXPECT_FALSE(RenderTemplate("{{ " + deep, input, "{}").ok());
  std::string blocks;
  for (int i = 0; i < 50'000; ++i) blocks += "{% if x %}";
  EXPECT_FALSE(RenderTemplate(blocks, input, "{}").ok());
  std::string sum = "{{ 1";
  for (int i = 0; i < 100'000; ++i) sum += "+1";
  const absl::StatusOr<std::string> added = RenderTemplate(sum + " }}", input, "{}");
  if (added.ok()) {
    EXPECT_EQ(*added, "100001");
  }
}

TEST(HostileTemplateAlone, SizesAreBounded) {
  const ChatInput input = {.messages_json = "[]"};
  EXPECT_TRUE(RenderTemplate(std::string(1 << 20, 'x'), input, "{}").ok());
  const absl::Status large = RenderTemplate(std::string((1 << 20) + 1, 'x'), input, "{}").status();
  EXPECT_EQ(large, absl::InvalidArgumentError("chat template: 1048577 bytes, at most 1048576"));
}

// Looking through all messages for each of them is common, and pays for entries rather than for
// text.
TEST(HostileTemplateAlone, QuadraticLooksAreFine) {
  nlohmann::ordered_json messages;
  for (int i = 0; i < 1000; ++i) {
    messages.push_back({{"role", "user"}, {"content", std::string(8000, 'x')}});
  }
  const ChatInput input = {.messages_json = messages.dump()};
  const char* source =
      "{% for m in messages %}{% set a = messages | selectattr('role', 'equalto', 'user') | list %}"
      "{% set b = messages[1:] | list | length %}{% set c = messages | list %}{% endfor %}done";
  EXPECT_EQ(RenderTemplate(source, input, "{}").value(), "done");
}

// The bounds must not meet honest conversations, however long.
TEST(HostileTemplateAlone, LongConversationsRender) {
  nlohmann::ordered_json messages;
  for (int i = 0; i < 4000; ++i) {
    messages.push_back(
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(2000, 'x')}});
  }
  const ChatInput input = {.messages_json = messages.dump()};
  for (const char* model : {"qwen3", "qwen2_5", "deepseek_v3", "tales-128e"}) {
    const absl::StatusOr<std::string> prompt = LoadedText(model).RenderChat(input);
    ASSERT_TRUE(prompt.ok()) << model << prompt.status();
    EXPECT_GT(prompt->size(), 8'000'000u);
  }
}

}  // namespace
}  // namespace conclave
