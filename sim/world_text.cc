// Between the coordinator's core and the clients: text stages, which are late.
#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "sim/world.h"

namespace conclave::sim {
namespace {

// From "at once" to "later than whole answers".
constexpr Micros kDelays[] = {0, 200, 2'000, 50'000};

}  // namespace

Micros World::TextDelayMax(Dice& dice) {
  return kDelays[dice.Int(0, static_cast<int>(std::size(kDelays)) - 1)];
}

// The orders of one request are done in their order, each some time after it was given.
void World::ToText(TellText order) {
  NoteDecided(order);
  if (text_delay_max_ == 0) return WorkText(order);
  Micros& last = texts_[order.request].worked_last;
  last = std::max(last, schedule_.now() + text_dice_.Between(0, text_delay_max_));
  schedule_.At(last, [this, order = std::move(order), life = coordinators_]() mutable {
    if (life == coordinators_) WorkText(order);  // else it is gone with its process
  });
}

// What the core has decided, whether or not its client knows.
void World::NoteDecided(const TellText& order) {
  const auto request = order.request;
  Text& text = texts_[request];
  if (const auto* begin = std::get_if<TextBegin>(&order.what)) {
    text.stream = begin->stream;
  } else if (const auto* change = std::get_if<TextStreamChange>(&order.what)) {
    live_.erase(text.stream);
    text.stream = change->stream;
  } else if (std::holds_alternative<TextToken>(order.what)) {
    ++text.tokens;
  } else if (const auto* proposal = std::get_if<TextProposal>(&order.what)) {
    text.tokens += proposal->last.has_value() ? 1 : 0;
    text.proposed = Text::Proposed{schedule_.now(), ready_last_};
    live_.erase(text.stream);
  } else {
    const auto proposed = text.proposed.value_or(Text::Proposed{schedule_.now(), ready_last_});
    const Ending& ending = std::get<TextEnding>(order.what).ending;
    if (ending.end == End::kUnavailable) {
      CheckReadiness(ending, *requests_.at(text.stream).client, proposed);
    }
    live_.erase(text.stream);
  }
}

void World::WorkText(TellText& order) {
  stages_->Take(order);
  SendParts();
}

void World::SendParts() {
  std::vector<TellClient> parts = std::exchange(parts_, {});
  if (args_.tamper != nullptr) args_.tamper->OfText(parts);
  for (TellClient& tell : parts) ToClient(tell.request, std::move(tell.part));
}

void World::Deliver(RequestId stream, StreamPart& part) {
  parts_.push_back({stream, std::move(part)});
}

void World::Judge(RequestId request, std::optional<StopFound> stop) {
  schedule_.After(text_dice_.Between(0, text_delay_max_),
                  [this, request, stop = std::move(stop), life = coordinators_] {
                    if (life != coordinators_) return;
                    if (stop.has_value() && stop->completion_tokens < texts_[request].tokens) {
                      ++report_.late_stops;
                    }
                    Tell(TextJudged{schedule_.now(), request, stop});
                  });
}

}  // namespace conclave::sim
