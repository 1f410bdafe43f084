#include "world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace conclave {

ClientAsk AskOf(std::string id, std::vector<TokenId> prompt, int max_tokens) {
  ClientAsk ask;
  ask.id = std::move(id);
  ask.prompt = std::move(prompt);
  ask.max_tokens = max_tokens;
  ask.temperature = 0;
  return ask;
}

std::vector<TokenId> PromptOf(int tokens, int salt) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < tokens; ++i) prompt.push_back((i * 7 + salt * 131 + 3) % 900);
  return prompt;
}

World::World(const CoordinatorConfig& config, std::vector<TokenId> eos)
    : config_(config), eos_(eos), text_(MakeToyText()), stages_(text_.get(), *this) {
  core_ = std::make_unique<CoordinatorCore>(
      config, ServedModel{.facts = FakeFacts(), .eos_ids = std::move(eos)}, text_.get());
}

Hello World::HelloOf(const std::string& uuid, const WorkerShape& shape) {
  Hello hello{.uuid = uuid, .role = shape.role, .address = "here", .model = FakeFacts()};
  hello.numerics = 7;
  hello.kernels = "ref";
  hello.kv_dtype = "bf16";
  hello.exchange = "local";
  hello.standby_address = uuid + "#0";
  hello.kv_blocks = shape.role == Role::kWorker ? shape.kv_blocks : 0;
  hello.rows_max = shape.role == Role::kWorker ? shape.rows_max : 0;
  hello.arrivals_max = shape.arrivals_max;
  return hello;
}

LinkId World::Join(const WorkerShape& shape) {
  return JoinAs(HelloOf(absl::StrCat("w", next_link_), shape));
}

LinkId World::JoinAs(const Hello& hello) {
  const LinkId link{next_link_++};
  workers_[link] = std::make_unique<FakeWorker>(hello, Slot{-1});
  Handle(WorkerArrived{now_, link});
  Handle(WorkerSaid{now_, link, hello});
  return link;
}

void World::Kill(LinkId link) {
  workers_.erase(link);
  Handle(WorkerGone{now_, link, "killed"});
}

FakeWorker* World::WorkerAt(LinkId link) {
  const auto found = workers_.find(link);
  return found == workers_.end() ? nullptr : found->second.get();
}

std::vector<LinkId> World::Links() const {
  std::vector<LinkId> links;
  for (const auto& [link, worker] : workers_) links.push_back(link);
  return links;
}

void World::Deliver(LinkId link) {
  FakeWorker* worker = WorkerAt(link);
  if (worker == nullptr || worker->said().empty()) return;
  FromWorker message = std::move(worker->said().front());
  worker->said().pop_front();
  Handle(WorkerSaid{now_, link, std::move(message)});
}

void World::Settle() {
  for (bool busy = true; busy;) {
    busy = false;
    for (const LinkId link : Links()) {
      if (FakeWorker* worker = WorkerAt(link); worker != nullptr && worker->HasStep()) {
        worker->RunStep();
        busy = true;
      }
      while (WorkerAt(link) != nullptr && !WorkerAt(link)->said().empty()) {
        Deliver(link);
        busy = true;
      }
    }
    now_ += 100;
  }
}

RequestId World::Ask(ClientAsk ask) {
  const RequestId id{next_request_++};
  clients_[id].ask = ask;
  Handle(ClientAsked{now_, id, std::move(ask)});
  return id;
}

void World::Leave(RequestId id) {
  clients_.at(id).left = true;
  Handle(ClientLeft{now_, id});
}

void World::Abort(const std::string& name) { Handle(AbortAsked{now_, name}); }

void World::Tick() { Handle(Ticked{now_}); }

void World::Say(LinkId link, FromWorker message) {
  Handle(WorkerSaid{now_, link, std::move(message)});
}

absl::Status World::Drain(const std::string& worker) {
  told_admin_ = absl::UnknownError("no answer");
  Handle(DrainAsked{now_, 1, worker});
  return told_admin_;
}

absl::Status World::Rebalance() {
  told_admin_ = absl::UnknownError("no answer");
  Handle(RebalanceAsked{now_, 1});
  return told_admin_;
}

void World::Pass(Micros micros) { PassFor(Links(), micros); }

void World::PassFor(const std::vector<LinkId>& alive, Micros micros) {
  now_ += micros;
  for (const LinkId link : alive) Handle(WorkerSaid{now_, link, Heartbeat{}});
  Tick();
}

void World::Handle(const CoordinatorEvent& event) {
  HandleOnly(event);
  while (!text_held_ && (WorkText() || DeliverVerdict())) continue;
}

void World::HandleOnly(const CoordinatorEvent& event) {
  CoordinatorOutbox outbox;
  core_->Handle(event, outbox);
  core_->CheckInvariants();
  CoordinatorOutbox each = OneByOne(std::move(outbox));
  for (CoordinatorEffect& effect : each) Carry(effect);
  if (then_) then_(event);
}

bool World::WorkText() {
  if (orders_.empty()) return false;
  TellText order = std::move(orders_.front());
  orders_.pop_front();
  stages_.Take(order);
  return true;
}

void World::Judge(RequestId request, std::optional<StopFound> stop) {
  verdicts_.push_back({.now = 0, .request = request, .stop = std::move(stop)});
}

bool World::DeliverVerdict() {
  if (verdicts_.empty()) return false;
  TextJudged judged = std::move(verdicts_.front());
  verdicts_.pop_front();
  judged.now = now_;
  HandleOnly(judged);
  return true;
}

void World::ReleaseText() {
  text_held_ = false;
  while (WorkText() || DeliverVerdict()) continue;
}

void World::Carry(CoordinatorEffect& effect) {
  if (auto* order = std::get_if<TellText>(&effect)) {
    orders_.push_back(std::move(*order));
  } else if (const auto* tell = std::get_if<TellClient>(&effect)) {
    Read(tell->request, tell->part);
  } else if (const auto* say = std::get_if<TellWorker>(&effect)) {
    FakeWorker* worker = WorkerAt(say->link);
    if (worker == nullptr) return;
    if (const auto* ask = std::get_if<StepAsk>(&say->message)) {
      if (ask->epoch != digests_epoch_) digests_.clear();
      digests_epoch_ = ask->epoch;
      const auto [known, fresh] = digests_.emplace(ask->step, ask->digest);
      if (known->second != ask->digest) complaints_.push_back("two digests of one step");
    }
    worker->Hear(say->message);
  } else if (const auto* drop = std::get_if<DropLink>(&effect)) {
    dropped_[drop->link] = drop->reason;
    if (FakeWorker* worker = WorkerAt(drop->link)) {
      complaints_.insert(complaints_.end(), worker->complaints().begin(),
                         worker->complaints().end());
    }
    workers_.erase(drop->link);
  } else if (const auto* told = std::get_if<TellAdmin>(&effect)) {
    told_admin_ = told->status;
  } else {
    logs_.push_back(std::get<LogLine>(effect).text);
  }
}

void World::Read(RequestId id, const StreamPart& part) {
  Client& client = clients_.at(id);
  if (client.ending.has_value()) complaints_.push_back("a part after the end");
  ++client.parts;
  client.ids.insert(client.ids.end(), part.ids.begin(), part.ids.end());
  client.text += part.text;
  client.text_ends.resize(client.ids.size(), client.text.size());
  client.logprobs.insert(client.logprobs.end(), part.logprobs.begin(), part.logprobs.end());
  client.prompt_logprobs.insert(client.prompt_logprobs.end(), part.prompt_logprobs.begin(),
                                part.prompt_logprobs.end());
  client.routed.insert(client.routed.end(), part.routed.begin(), part.routed.end());
  if (part.ending.has_value()) client.ending = part.ending;
}

bool World::Complained() const {
  bool complained = !complaints_.empty();
  for (const std::string& complaint : complaints_) ADD_FAILURE() << complaint;
  for (const auto& [link, worker] : workers_) {
    for (const std::string& complaint : worker->complaints()) {
      ADD_FAILURE() << complaint;
      complained = true;
    }
  }
  return complained;
}

void World::ExpectExact() {
  EXPECT_FALSE(Complained());
  for (const auto& [id, client] : clients_) {
    SCOPED_TRACE(absl::StrCat("request ", id.value));
    ExpectExact(client);
  }
}

namespace {

// What the client asked for, worked out the slow way: token by token, character by character.
struct Expected {
  std::vector<TokenId> ids;
  std::string text;
  End end = End::kLength;
  std::string stop;
};

// The stop string that is complete first, and where it ends.
std::optional<std::pair<std::size_t, std::string>> FirstStop(
    const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::string longest;
    for (const std::string& stop : stops) {
      if (end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0 &&
          stop.size() > longest.size()) {
        longest = stop;
      }
    }
    if (!longest.empty()) return std::pair(end, longest);
  }
  return std::nullopt;
}

Expected Expect(const ClientAsk& ask, const std::vector<TokenId>& eos, const Text& text) {
  const ModelFacts facts = FakeFacts();
  const int most = std::min(ask.max_tokens.value_or(facts.context),
                            facts.context - static_cast<int>(ask.prompt.size()));
  std::vector<TokenId> stops = ask.stop_ids;
  if (!ask.ignore_eos) stops.insert(stops.end(), eos.begin(), eos.end());
  Expected expected;
  const auto decoder = text.NewDecoder(ask.skip_special);
  for (const TokenId token : Oracle(ask.prompt, most, facts.vocab)) {
    expected.ids.push_back(token);
    if (std::ranges::find(stops, token) != stops.end()) {
      if (ask.include_stop_in_text) expected.text += decoder->Push(token);
      expected.end = End::kStop;
      break;
    }
    expected.text += decoder->Push(token);
    if (const auto stop = FirstStop(expected.text, ask.stop)) {
      expected.end = End::kStop;
      expected.stop = stop->second;
      expected.text.resize(stop->first - (ask.include_stop_in_text ? 0 : stop->second.size()));
      return expected;
    }
  }
  expected.text += decoder->Flush();
  return expected;
}

std::vector<std::uint16_t> ExpectRouted(const ClientAsk& ask, const std::vector<TokenId>& said) {
  std::vector<TokenId> fed = ask.prompt;
  fed.insert(fed.end(), said.begin(), said.end() - 1);
  return RoutedOf(fed);
}

}  // namespace

void World::ExpectExact(const Client& client) {
  ASSERT_TRUE(client.ending.has_value()) << "never ended";
  const Ending& ending = *client.ending;
  if (ending.end == End::kRefused || ending.end == End::kOverloaded) return;
  const Expected expected = Expect(client.ask, eos_, *text_);
  const auto has = static_cast<std::size_t>(client.ask.resume_after);
  if (ending.end != End::kReplaced) {
    EXPECT_TRUE(ending.usage.completion_tokens == static_cast<int>(has + client.ids.size()) ||
                (client.ids.empty() && ending.usage.completion_tokens <= static_cast<int>(has)));
  }
  if (client.ask.logprobs.has_value()) {
    EXPECT_EQ(client.logprobs.size(), client.ids.size());
  }
  const std::size_t first = std::min(has, expected.ids.size());
  if (ending.end != End::kLength && ending.end != End::kStop) {
    ASSERT_LE(first + client.ids.size(), expected.ids.size());
    EXPECT_TRUE(
        std::ranges::equal(client.ids, std::span(expected.ids).subspan(first, client.ids.size())));
    return;
  }
  EXPECT_TRUE(std::ranges::equal(client.ids, std::span(expected.ids).subspan(first)));
  if (has == 0) {
    EXPECT_EQ(client.text, expected.text);
  } else {
    EXPECT_TRUE(expected.text.ends_with(client.text)) << client.text << " | " << expected.text;
  }
  EXPECT_EQ(ending.end, expected.end);
  EXPECT_EQ(ending.stop, expected.stop);
  EXPECT_EQ(ending.stop_id.has_value(), expected.end == End::kStop && expected.stop.empty());
  if (has > 0) {
    EXPECT_TRUE(client.prompt_logprobs.empty());
  } else if (client.ask.prompt_logprobs.has_value()) {
    ASSERT_EQ(client.prompt_logprobs.size(), client.ask.prompt.size() - 1);
    for (std::size_t i = 0; i < client.prompt_logprobs.size(); ++i) {
      EXPECT_EQ(client.prompt_logprobs[i].id, client.ask.prompt[i + 1]);
    }
  }
  if (client.ask.routed_experts) {
    EXPECT_EQ(client.routed, ExpectRouted(client.ask, expected.ids));
  }
}

}  // namespace conclave
