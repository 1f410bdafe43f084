#include "cli/flags.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/version.h"

namespace conclave {
namespace {

// The number in front and what follows it, blanks dropped.
bool SplitNumber(std::string_view text, double& number, std::string& unit) {
  std::size_t end = 0;
  while (end < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[end])) != 0 || text[end] == '.')) {
    ++end;
  }
  if (!absl::SimpleAtod(absl::string_view(text.data(), end), &number)) return false;
  unit.clear();
  for (const char c : text.substr(end)) {
    if (c != ' ') unit += c;
  }
  return true;
}

std::string FirstLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

// Flags given by the environment, as arguments that stand before the real ones.
std::vector<std::string> ArgumentsFromEnvironment(CLI::App& app) {
  std::vector<std::string> arguments;
  for (CLI::Option* option : app.get_options()) {
    const std::vector<std::string>& names = option->get_lnames();
    if (names.empty() || names.front() == "help" || names.front() == "version") continue;
    const std::string variable = EnvironmentName(names.front());
    option->envname(variable);
    const char* value = std::getenv(variable.c_str());
    // What may be given often is left to the parser: there, the environment is used only when the
    // command line says nothing.
    if (value == nullptr || option->get_expected_max() > 1) continue;
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    arguments.push_back(absl::StrCat("--", names.front(), "=", value));
  }
  return arguments;
}

}  // namespace

absl::StatusOr<std::uint64_t> ParseSize(std::string_view text) {
  double number = 0;
  std::string unit;
  double factor = -1;
  if (SplitNumber(text, number, unit)) {
    if (unit.empty() || unit == "B") factor = 1;
    if (unit == "KiB") factor = 1024;
    if (unit == "MiB") factor = 1048576;
    if (unit == "GiB") factor = 1073741824;
  }
  const double bytes = number * factor;
  if (factor < 0 || !(bytes <= 9e18)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", std::string(text), "' is not a size such as 512MiB or 4GiB"));
  }
  return static_cast<std::uint64_t>(bytes);
}

absl::StatusOr<Micros> ParseDuration(std::string_view text) {
  double number = 0;
  std::string unit;
  double factor = -1;
  if (SplitNumber(text, number, unit)) {
    if (unit == "ms") factor = 1e3;
    if (unit.empty() || unit == "s") factor = 1e6;
    if (unit == "m") factor = 60e6;
  }
  const double micros = number * factor;
  if (factor < 0 || !(micros <= 9e18)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", std::string(text), "' is not a duration such as 250ms, 5s or 10m"));
  }
  return static_cast<Micros>(std::llround(micros));
}

CLI::Option* AddSize(CLI::App& app, const std::string& flag, std::optional<std::uint64_t>& into,
                     const std::string& help) {
  CLI::Option* option = app.add_option_function<std::string>(
      flag,
      [&into, flag](const std::string& text) {
        const auto bytes = ParseSize(text);
        if (!bytes.ok()) throw CLI::ValidationError(flag, std::string(bytes.status().message()));
        into = *bytes;
      },
      help);
  return option->type_name("SIZE");
}

namespace {

template <typename Into>
CLI::Option* AddDurationOption(CLI::App& app, const std::string& flag, Into& into,
                               const std::string& help) {
  CLI::Option* option = app.add_option_function<std::string>(
      flag,
      [&into, flag](const std::string& text) {
        const auto micros = ParseDuration(text);
        if (!micros.ok()) throw CLI::ValidationError(flag, std::string(micros.status().message()));
        into = *micros;
      },
      help);
  return option->type_name("DURATION");
}

}  // namespace

CLI::Option* AddDuration(CLI::App& app, const std::string& flag, Micros& into,
                         const std::string& help) {
  return AddDurationOption(app, flag, into, help)
      ->default_str(absl::StrCat(static_cast<double>(into) / 1e6, "s"));
}

CLI::Option* AddDuration(CLI::App& app, const std::string& flag, std::optional<Micros>& into,
                         const std::string& help) {
  return AddDurationOption(app, flag, into, help);
}

CLI::Option* AddChoice(CLI::App& app, const std::string& flag, std::string& into,
                       const std::vector<std::string>& names, const std::string& help) {
  CLI::Option* option = app.add_option(flag, into, help)->capture_default_str();
  option->check(
      [names](const std::string& text) {
        if (std::find(names.begin(), names.end(), text) != names.end()) return std::string();
        return absl::StrCat("'", text, "' is none of ", absl::StrJoin(names, ", "));
      },
      absl::StrJoin(names, "|"));
  return option->type_name("NAME");
}

std::string EnvironmentName(std::string_view flag) {
  std::string name = "CONCLAVE_";
  while (!flag.empty() && flag.front() == '-') flag.remove_prefix(1);
  for (const char c : flag) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::optional<int> ParseFlags(CLI::App& app, int argc, const char* const* argv) {
  app.get_formatter()->column_width(34);
  app.set_config("--config", "", "read flags from a file: lines `flag-name = value`");
  app.allow_config_extras(CLI::config_extras_mode::error);
  bool version = false;
  app.add_flag("--version", version, "print version, commit, build options and exit");
  std::vector<std::string> arguments = ArgumentsFromEnvironment(app);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--version") {
      std::cout << VersionText() << std::flush;
      return kExitDone;
    }
    arguments.emplace_back(argv[i]);
  }
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help() << std::flush;
    return kExitDone;
  } catch (const CLI::ParseError& error) {
    SayError(app.get_name(), absl::StrCat(FirstLine(error.what()), " (--help says more)"));
    return kExitUsage;
  }
  return std::nullopt;
}

std::string EffectiveConfig(const CLI::App& app) {
  std::vector<std::string> parts;
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string>& names = option->get_lnames();
    if (names.empty() || names.front() == "help" || names.front() == "version") continue;
    const std::string value =
        option->count() > 0 ? absl::StrJoin(option->results(), ",") : option->get_default_str();
    if (!value.empty()) parts.push_back(absl::StrCat(names.front(), "=", value));
  }
  return absl::StrJoin(parts, " ");
}

void SayError(std::string_view program, std::string_view message) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(program.size()), program.data(),
               FirstLine(std::string(message)).c_str());
}

int Fail(std::string_view program, const absl::Status& status) {
  SayError(program, std::string(status.message()));
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailed;
}

}  // namespace conclave
