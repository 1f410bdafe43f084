// Between the coordinator and the clients.
#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "sim/world.h"

namespace conclave::sim {
namespace {

template <typename T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

void World::StartClients() {
  for (const ClientPlan& plan : client_plans_) {
    asks_left_ += plan.twice ? 2 : 1;
    schedule_.At(plan.at, [this, &plan] { Ask(plan); });
    if (plan.twice) schedule_.At(plan.at + Delay(20'000), [this, &plan] { Ask(plan); });
  }
}

void World::Ask(const ClientPlan& plan) {
  --asks_left_;
  ++streams_open_;
  Client& client = clients_.emplace_back();
  client.plan = &plan;
  client.asked = schedule_.now();
  if (plan.leaves_after.has_value()) {
    schedule_.After(*plan.leaves_after, [this, &client] { Leave(client); });
  }
  OpenStream(client);
}

// The first stream of a request, or one that goes on where the last was cut.
void World::OpenStream(Client& client) {
  if (client.ending.has_value()) return;
  if (client.left.has_value()) return EndOf(client, {.end = End::kCancelled});
  const Micros now = schedule_.now();
  if (core_ == nullptr) {
    schedule_.After(dice_.Between(5'000, 50'000), [this, &client] { OpenStream(client); });
    return;
  }
  const ClientPlan& plan = *client.plan;
  client.request = RequestId{next_request_++};
  client.connected = true;
  client.asked_last = client.progress = client.reads_until = now;
  client.live_then = live_.size();
  client.name_taken = false;
  for (const auto& [id, name] : live_) {
    if (name != plan.ask.id) continue;
    Client& other = *requests_[id].client;
    other.rivalled = true;
    if (other.plan->imposter != plan.imposter) {
      client.name_taken = true;
    } else {
      client.attached = true;
    }
  }
  if (client.streams++ > 0) ++report_.resumes;
  requests_[client.request] = {.client = &client};
  live_[client.request] = plan.ask.id;
  unended_.insert(client.request);
  ClientAsk ask = plan.ask;
  ask.resume_after = static_cast<int>(client.ids.size());
  if (ask.deadline.has_value()) *ask.deadline += client.asked;
  Tell(ClientAsked{now, client.request, std::move(ask)});
}

// The stream is cut. `told`: the coordinator hears of it, sooner or later than of the next.
void World::LoseStream(Client& client, bool told) {
  if (!client.connected || client.ending.has_value()) return;
  client.connected = false;
  requests_[client.request].over = true;
  history_.Trace(schedule_.now(),
                 absl::StrCat("stream ", client.request.value, " of ", client.plan->ask.id,
                              " is cut after ", client.ids.size(), " tokens"));
  if (told) {
    schedule_.After(Delay(20'000), [this, request = client.request] {
      Tell(ClientLeft{schedule_.now(), request});
    });
  }
  schedule_.After(Delay(20'000), [this, &client] { OpenStream(client); });
}

void World::Leave(Client& client) {
  if (client.ending.has_value() || client.left.has_value()) return;
  client.left = schedule_.now();
  if (!client.connected) return EndOf(client, {.end = End::kCancelled});
  const bool aborts = client.plan->aborts && !client.name_taken;
  schedule_.After(Delay(args_.options.client_delay_max),
                  [this, &client, aborts, request = client.request] {
                    const Micros now = schedule_.now();
                    if (aborts) {
                      // The newest stream under its name by now.
                      for (Client& each : clients_) {
                        if (each.plan->ask.id == client.plan->ask.id) each.aborted = true;
                      }
                      Tell(AbortAsked{now, client.plan->ask.id});
                    } else {
                      Tell(ClientLeft{now, request});
                    }
                  });
}

void World::ToClient(RequestId request, StreamPart part) {
  const auto found = requests_.find(request);
  if (found == requests_.end()) return complaints_.Add("[endings] a part for nobody");
  if (part.ending.has_value()) {
    ++endings_;
    if (unended_.erase(request) == 0) complaints_.Add("[endings] a second one");
  }
  Client& client = *found->second.client;
  const Micros now = schedule_.now();
  if (!part.ids.empty()) token_last_ = now;
  if (found->second.over) return;
  client.progress = now;
  if (part.ending.has_value()) {
    ++report_.endings[static_cast<std::size_t>(part.ending->end)];
    client.ended = now;
  }
  client.reads_until = std::max(client.reads_until + client.plan->reads_every,
                                now + Delay(args_.options.client_delay_max));
  schedule_.At(client.reads_until,
               [this, &client, request, part = std::move(part)] { Read(client, request, part); });
}

void World::Read(Client& client, RequestId request, const StreamPart& part) {
  if (requests_[request].over) return;
  streams_.Part(client, part);
  ++client.parts;
  Append(client.ids, part.ids);
  client.text += part.text;
  Append(client.logprobs, part.logprobs);
  Append(client.prompt_logprobs, part.prompt_logprobs);
  Append(client.routed, part.routed);
  history_.Note(schedule_.now(), "read", static_cast<std::int64_t>(request.value), part.text);
  for (const TokenId id : part.ids) history_.Note(schedule_.now(), "token", id, "");
  const ClientPlan& plan = *client.plan;
  const auto has = [&](const std::optional<int>& count) {
    return count.has_value() && client.ids.size() >= static_cast<std::size_t>(*count);
  };
  if (part.ending.has_value()) {
    if (!client.ending.has_value()) EndOf(client, *part.ending);
  } else if (has(plan.leaves_at_token)) {
    Leave(client);
  } else if (client.streams == 1 && !client.left.has_value() && has(plan.loses_at_token)) {
    LoseStream(client, true);
  }
}

void World::EndOf(Client& client, const Ending& ending) {
  client.ending = ending;
  if (!client.connected) client.ended = schedule_.now();
  --streams_open_;
  history_.Trace(schedule_.now(),
                 absl::StrCat("request ", client.request.value, " (", client.plan->ask.id,
                              ") has ended after ", client.ids.size(),
                              " tokens: ", static_cast<int>(ending.end), " ", ending.message));
  streams_.Whole(client);
}

// Who waits for a cluster that is not there may be sent away, but not at once.
void World::CheckReadiness(const Ending& ending, const Client& client,
                           const Text::Proposed& decided) {
  // One that was taken over counts from when it was first asked for, by whomever.
  const Micros since = std::max(client.attached ? 0 : client.asked_last, decided.ready_last);
  const Micros limit = args_.options.coordinator.unavailable_limit;
  if (decided.at - since >= limit) return;
  complaints_.Add(absl::StrCat("[unavailable] ", client.plan->ask.id, " was sent away after ",
                               decided.at - since, " us without a cluster, not ", limit, ": ",
                               ending.message));
}

}  // namespace conclave::sim
