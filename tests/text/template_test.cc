// What templates of the field rely on, beyond the golden vectors.
#include "text/template.h"

#include <gtest/gtest.h>

#include "text_data.h"

namespace conclave {
namespace {

// Renders with the variables given; the error's message when there is one.
std::string Render(const std::string& source, const std::string& variables = "{}") {
  ChatInput input;
  input.messages_json = R"([{"role": "user", "content": "one"}, {"role": "assistant"}])";
  input.variables_json = variables;
  const absl::StatusOr<std::string> text =
      RenderTemplate(source, input, R"({"eos_token": "<e>", "bos_token": "<b>"})");
  return text.ok() ? *text : "ERROR " + std::string(text.status().message());
}

TEST(Template, VariablesAndSpecialTokens) {
  EXPECT_EQ(Render("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"), "<b>one<e>");
  EXPECT_EQ(Render("{{ eos_token }}", R"({"eos_token": "mine"})"), "mine");
  EXPECT_EQ(Render("[{{ missing }}{{ missing is defined }}]"), "[False]");
  EXPECT_EQ(Render("{{ add_generation_prompt }} {{ tools }} {{ tools is none }}"),
            "True None True");
  EXPECT_EQ(Render("{{ messages }}"),
            "[{'role': 'user', 'content': 'one'}, {'role': 'assistant'}]");
}

TEST(Template, ToJson) {
  const std::string variables = R"({"x": {"b": [1, 1.0, 1e-07, 1e16, 1e22, -0.5, true, null], )"
                                R"("a": "<é\"\n\u0001>", "e": [], "m": {}}})";
  EXPECT_EQ(
      Render("{{ x | tojson }}", variables),
      R"({"b": [1, 1.0, 1e-07, 1e+16, 1e+22, -0.5, true, null], )"
            R"("a": "<é\"\n\u0001>", "e": [], "m": {}})");
  EXPECT_EQ(Render("{{ x | tojson(ensure_ascii=True, sort_keys=True) }}",
                   R"({"x": {"b": 1, "a": "é😀"}})"),
            R"({"a": "\u00e9\ud83d\ude00", "b": 1})");
  EXPECT_EQ(Render("{{ x | tojson(indent=2) }}", R"({"x": {"a": [1, 2], "e": []}})"),
            "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"e\": []\n}");
  EXPECT_EQ(Render("{{ x | tojson(separators=(',', ':')) }}", R"({"x": {"a": [1, 2]}})"),
            R"({"a":[1,2]})");
  EXPECT_EQ(Render("{{ x | tojson }}", R"({"x": 12345678901234567890})"), "12345678901234567890");
  EXPECT_EQ(Render("{{ y | tojson }}").rfind("ERROR chat template, line 1: tojson", 0), 0u);
}

TEST(Template, PrintsAsPythonDoes) {
  EXPECT_EQ(Render("{{ none }} {{ true }} {{ 1.0 }} {{ 3 }} {{ 'a' ~ none ~ false ~ 2.5 }}"),
            "None True 1.0 3 aNoneFalse2.5");
  EXPECT_EQ(Render(R"({{ {'a': "it's", 'b': [none, 'x\n']} }})"),
            R"({'a': "it's", 'b': [None, 'x\n']})");
  EXPECT_EQ(Render("{{ [1, 'a', none] | join(',') }} {{ ','.join(['x', 'y']) }}"), "1,a,None x,y");
  EXPECT_EQ(Render("{{ 7 | string + 'x' }}{{ [1] | string }}"), "7x[1]");
}

TEST(Template, Operators) {
  EXPECT_EQ(Render("{{ 1 + 2 }} {{ 1.5 + 1 }} {{ 3 * 2 }} {{ 'ab' * 2 }} {{ 7 // 2 }} {{ 7 % 4 }}"),
            "3 2.5 6 abab 3 3");
  EXPECT_EQ(Render("{{ [1] + [2, 3] }} {{ ([0] * 3) | length }}"), "[1, 2, 3] 3");
  EXPECT_EQ(Render("{{ 1 == 1.0 }} {{ 'a' != 'b' }} {{ 1 < 2 }} {{ 2 <= 1 }} {{ 'b' > 'a' }}"
                   " {{ 1 >= 1 }} {{ [1, 2] == [1, 2] }}"),
            "True True True False True True True");
  EXPECT_EQ(Render("{{ 'role' in messages[0] }} {{ 'x' not in 'xyz' }} {{ 2 in [1, 2] }}"),
            "True False True");
  EXPECT_EQ(Render("{{ 'hello'[1:3] }} {{ messages[1:] | length }} {{ [1, 2, 3][::-1] | list }}"),
            "el 1 [3, 2, 1]");
  EXPECT_EQ(Render("{{ 'a' + 1 }}"),
            "ERROR chat template, line 1: can only concatenate str (not \"int\") to str");
}

TEST(Template, FiltersTestsAndMethods) {
  EXPECT_EQ(
      Render("{{ ' x ' | trim }}|{{ 'aXa' | replace('a', 'b') }}|{{ [3, 1] | sort | first }}"),
      "x|bXb|1");
  EXPECT_EQ(Render("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
                   "{{ messages | map(attribute='role') | join('+') }}"
                   "{{ ['a', 'b'] | map('upper') | join }}"),
            "1user+assistantAB");
  EXPECT_EQ(
      Render("{% if messages[1].content is defined %}no{% else %}yes{% endif %}"
             "{{ 'x' is string }}{{ messages is sequence }}{{ 3 is odd }}{{ {} is mapping }}"),
      "yesTrueTrueTrueTrue");
  EXPECT_EQ(
      Render("{{ 'a,b'.split(',')[-1] }}{{ ' q'.lstrip() }}{{ 'Ab'.upper().startswith('AB') }}"
             "{{ messages[0].get('name', 'none') }}{{ messages[0].items() | list | length }}"
             "{{ 'aXbX'.count('X') }}{{ 'ab'.count('') }}"),
      "bqTruenone223");
  EXPECT_EQ(Render("{% for k, v in messages[0] | items %}{{ k }}={{ v }};{% endfor %}"),
            "role=user;content=one;");
  EXPECT_EQ(Render("{{ 'a\nb' | indent(2) }}{{ 'x' | default('y') }}{{ z | default('y') }}"),
            "a\n  bxy");
}

TEST(Template, LoopsMacrosAndNamespaces) {
  EXPECT_EQ(Render("{% set ns = namespace(n=0) %}{% for i in range(5) %}{% if i == 3 %}{% break %}"
                   "{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
            "3");
  EXPECT_EQ(
      Render("{% macro m(a, b='-') %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(2, b='+') }}"),
      "[1-][2+]");
  EXPECT_EQ(Render("{% for i in [[1, [2]], [3]] recursive %}{% for j in i %}{{ j }}{% endfor %};"
                   "{% endfor %}"),
            "1[2];3;");
  EXPECT_EQ(Render("{% set t %}a{{ 1 }}{% endset %}{{ t * 2 }}{% filter upper %}x{% endfilter %}"),
            "a1a1X");
  EXPECT_EQ(Render("  {% if true %}\n  x\n  {% endif %}\ny\n"), "  x\ny");
}

TEST(Template, TimeAndRaise) {
  EXPECT_EQ(Render("{{ strftime_now('%%') }}"), "%");
  EXPECT_EQ(Render("{{ strftime_now('%Y') | length }}"), "4");
  EXPECT_EQ(Render("{{ strftime_now('" + std::string(300, 'x') + "') }}"),
            "ERROR chat template, line 1: strftime_now: format too long");
  EXPECT_EQ(Render("{% macro m() %}{{ raise_exception('no ' + messages[0].content) }}{% endmacro %}"
                   "{{ m() }}"),
            "ERROR no one");
}

TEST(Template, ErrorsNameTheLine) {
  EXPECT_EQ(Render("a\n\n{{ messages[0].content.nothing.more }}")
                .rfind("ERROR chat template, line 3: ", 0),
            0u);
  EXPECT_EQ(Render("{{ 1 | nosuch }}"), "ERROR chat template: line 1: filter nosuch is unknown");
  EXPECT_EQ(Render("{% include 'x' %}"),
            "ERROR chat template: line 1: a chat template cannot load other templates");
  const absl::Status syntax = CheckTemplate("line one\n{% if %}");
  EXPECT_EQ(syntax.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(syntax.message()).find("line 2"), std::string::npos) << syntax;
  EXPECT_TRUE(CheckTemplate("{{ messages }}").ok());
}

TEST(Template, InputsAreChecked) {
  const std::pair<ChatInput, std::string> cases[] = {
      {{.messages_json = "{}"}, "messages must be an array"},
      {{
           .messages_json = "[",
       },
       "messages is not valid JSON: "},
      {{.messages_json = "[]", .tools_json = "3"}, "tools must be an array or null"},
      {{.messages_json = "[]", .variables_json = "[]"}, "template variables must be an object"},
      {{.messages_json = "[]", .variables_json = R"({"tools": 1})"},
       "template variables may not set tools"},
      {{.messages_json = "[\"\xFF\"]"}, "messages: not UTF-8 at byte 2"},
      {{.messages_json = std::string(200, '[') + std::string(200, ']')},
       "messages is not valid JSON: recursion"},
  };
  for (const auto& [input, message] : cases) {
    const absl::Status status = RenderTemplate("{{ messages }}", input, "{}").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(std::string(status.message()).rfind(message, 0), 0u) << status;
  }
  EXPECT_EQ(RenderTemplate("\xC3(", {.messages_json = "[]"}, "{}").status(),
            absl::InvalidArgumentError("chat template: not UTF-8 at byte 0"));
}

}  // namespace
}  // namespace conclave
