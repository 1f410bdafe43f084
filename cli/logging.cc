#include "cli/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/flags.h"

namespace conclave {
namespace {

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

LogLevel Parse(const std::string& level) {
  if (level == "info") return LogLevel::kInfo;
  return level == "warning" ? LogLevel::kWarning : LogLevel::kError;
}

}  // namespace

void AddLogFlags(CLI::App& app, LogOptions& options) {
  AddChoice(app, "--log-level", options.level, {"info", "warning", "error"}, "least to say");
  AddChoice(app, "--log-format", options.format, {"text", "json"}, "lines for people or programs");
}

void AddFlightFlag(CLI::App& app, std::string& directory) {
  app.add_option("--flight-recorder-dir", directory,
                 "where the last decisions are written when this process fails or gets SIGUSR1; "
                 "default: standard error, unless it can say in one line what failed")
      ->type_name("DIR");
}

LogFn MakeLog(const LogOptions& options) {
  auto logger = std::make_shared<spdlog::logger>("conclave",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(LevelOf(Parse(options.level)));
  const bool json = options.format == "json";
  logger->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%v})"
                           : "%H:%M:%S.%e %L %v");
  return [logger, json](LogLevel level, std::string_view message) {
    if (!json) {
      logger->log(LevelOf(level), spdlog::string_view_t(message.data(), message.size()));
      return;
    }
    const auto replace = nlohmann::json::error_handler_t::replace;
    const std::string quoted = nlohmann::json(std::string(message)).dump(-1, ' ', false, replace);
    logger->log(LevelOf(level), spdlog::string_view_t(quoted.data(), quoted.size()));
  };
}

}  // namespace conclave
