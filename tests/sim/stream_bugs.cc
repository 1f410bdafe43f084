#include <functional>
#include <optional>
#include <utility>

#include "tests/sim/bugs.h"

namespace conclave::sim {
namespace {

// Does something to every nth part that a client is sent, of those that `fits`.
class PartBug : public Tamper {
 public:
  void OfText(std::vector<TellClient>& parts) override {
    std::vector<TellClient> bent;
    for (TellClient& tell : parts) {
      if (Fits(tell.part) && ++seen_ % Every() == 0) {
        Bend(tell, bent);
      } else {
        bent.push_back(std::move(tell));
        Passed(bent);
      }
    }
    parts = std::move(bent);
  }

 protected:
  virtual bool Fits(const StreamPart& part) { return !part.ids.empty(); }
  virtual void Bend(TellClient& tell, std::vector<TellClient>& out) = 0;
  virtual void Passed(std::vector<TellClient>&) {}
  virtual int Every() { return 7; }

 private:
  int seen_ = 0;
};

class EndBug : public PartBug {
 protected:
  bool Fits(const StreamPart& part) override { return part.ending.has_value(); }
  int Every() override { return 1; }
};

class TokenTwice final : public PartBug {
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    if (!tell.part.ending.has_value()) out.push_back(tell);
    out.push_back(std::move(tell));
  }
};

class PartLost final : public PartBug {
  bool Fits(const StreamPart& part) override { return !part.ending.has_value(); }
  void Bend(TellClient&, std::vector<TellClient>&) override {}
};

// One part waits for the next one of the same request, and goes after it.
class PartsSwapped final : public PartBug {
  bool Fits(const StreamPart& part) override { return !part.ending.has_value(); }
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    if (held_.has_value()) {
      out.push_back(std::move(tell));
    } else {
      held_ = std::move(tell);
    }
  }
  void Passed(std::vector<TellClient>& out) override {
    const auto& passed = out.back();
    if (!held_.has_value() || passed.request != held_->request) return;
    if (passed.part.ending.has_value()) {
      out.insert(out.end() - 1, *std::exchange(held_, std::nullopt));
    } else {
      out.push_back(*std::exchange(held_, std::nullopt));
    }
  }
  std::optional<TellClient> held_;
};

class TextLost final : public PartBug {
  bool Fits(const StreamPart& part) override { return part.text.size() > 1; }
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    tell.part.text.pop_back();
    out.push_back(std::move(tell));
  }
};

class EndTwice final : public EndBug {
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    TellClient again = tell;
    again.part.ids.clear();
    again.part.logprobs.clear();
    out.push_back(std::move(tell));
    out.push_back(std::move(again));
  }
};

class EndNever final : public EndBug {
  void Bend(TellClient&, std::vector<TellClient>&) override {}
};

class WrongReason final : public EndBug {
  bool Fits(const StreamPart& part) override {
    return part.ending.has_value() && part.ending->end == End::kStop;
  }
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    tell.part.ending->end = End::kLength;
    out.push_back(std::move(tell));
  }
};

class WrongField final : public EndBug {
  bool Fits(const StreamPart& part) override {
    return part.ending.has_value() && part.ending->end == End::kRefused;
  }
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    tell.part.ending->field += "s";
    out.push_back(std::move(tell));
  }
};

class MiscountedTokens final : public EndBug {
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    ++tell.part.ending->usage.completion_tokens;
    out.push_back(std::move(tell));
  }
};

class RoutesLost final : public EndBug {
  bool Fits(const StreamPart& part) override { return !part.routed.empty(); }
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    tell.part.routed.back() = static_cast<std::uint16_t>(tell.part.routed.back() ^ 1);
    out.push_back(std::move(tell));
  }
};

class TokenBeyondStop final : public EndBug {
  bool Fits(const StreamPart& part) override {
    return part.ending.has_value() && !part.ending->stop.empty() && !part.ids.empty();
  }
  void Bend(TellClient& tell, std::vector<TellClient>& out) override {
    TellClient beyond = tell;
    beyond.part.text.clear();
    beyond.part.ending.reset();
    beyond.part.routed.clear();
    out.push_back(std::move(beyond));
    out.push_back(std::move(tell));
  }
};

class VerdictLost final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    return !std::holds_alternative<TextJudged>(event);
  }
};

class StopMisplaced final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    auto* judged = std::get_if<TextJudged>(&event);
    if (judged != nullptr && judged->stop.has_value() && judged->stop->completion_tokens > 1) {
      --judged->stop->completion_tokens;
    }
    return true;
  }
};

// Does something to orders for text stages.
class OrderBug : public Tamper {
 public:
  void OfCoordinator(CoordinatorOutbox& outbox) override {
    CoordinatorOutbox bent;
    for (CoordinatorEffect& effect : outbox) {
      auto* order = std::get_if<TellText>(&effect);
      if (order == nullptr || !Bend(*order, bent)) bent.push_back(std::move(effect));
    }
    outbox = std::move(bent);
  }

 protected:
  virtual bool Bend(TellText& order, CoordinatorOutbox& out) = 0;  // true: it has seen to the order
  int seen_ = 0;
};

class OrderLost final : public OrderBug {
  bool Bend(TellText& order, CoordinatorOutbox&) override {
    return std::holds_alternative<TextToken>(order.what) && ++seen_ % 7 == 0;
  }
};

class StopsForgotten final : public OrderBug {
  bool Bend(TellText& order, CoordinatorOutbox&) override {
    if (auto* begin = std::get_if<TextBegin>(&order.what)) begin->rules.stops.clear();
    return false;
  }
};

// One token waits for the next order of the same request, and goes after it.
class OrdersSwapped final : public OrderBug {
  bool Bend(TellText& order, CoordinatorOutbox& out) override {
    const bool token = std::holds_alternative<TextToken>(order.what);
    if (held_.has_value()) {
      if (held_->request != order.request) return false;
      if (token) out.push_back(std::move(order));
      out.push_back(*std::exchange(held_, std::nullopt));
      return token;
    }
    if (!token || ++seen_ % 7 != 0) return false;
    held_ = std::move(order);
    return true;
  }
  std::optional<TellText> held_;
};

class CancelLost final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    return !std::holds_alternative<ClientLeft>(event) && !std::holds_alternative<AbortAsked>(event);
  }
};

class DeadlineLost final : public Tamper {
  bool OfEvent(CoordinatorEvent& event) override {
    if (auto* asked = std::get_if<ClientAsked>(&event)) asked->ask.deadline.reset();
    return true;
  }
};

template <typename Bug>
PlantedBug Plant(std::string name, std::string scenario, int seeds) {
  return {std::move(name), std::move(scenario), seeds,
          []() -> std::unique_ptr<Tamper> { return std::make_unique<Bug>(); }};
}

}  // namespace

std::vector<PlantedBug> StreamBugs() {
  std::vector<PlantedBug> bugs;
  bugs.push_back(Plant<TokenTwice>("a token is sent twice", "mixed", 3));
  bugs.push_back(Plant<PartLost>("a part is lost", "mixed", 3));
  bugs.push_back(Plant<PartsSwapped>("two parts change places", "mixed", 5));
  bugs.push_back(Plant<TextLost>("the end of a text is lost", "mixed", 5));
  bugs.push_back(Plant<EndTwice>("an ending is sent twice", "mixed", 5));
  bugs.push_back(Plant<EndNever>("an ending is never sent", "mixed", 5));
  bugs.push_back(Plant<WrongReason>("an ending has the wrong reason", "wide", 20));
  bugs.push_back(Plant<WrongField>("a refusal names the wrong field", "burst", 60));
  bugs.push_back(Plant<MiscountedTokens>("tokens are miscounted", "mixed", 5));
  bugs.push_back(Plant<RoutesLost>("a routed expert is not the one", "wide", 60));
  bugs.push_back(Plant<TokenBeyondStop>("a token beyond a stop string is sent", "wide", 40));
  bugs.push_back(Plant<VerdictLost>("what a text stage found is lost", "mixed", 20));
  bugs.push_back(Plant<StopMisplaced>("a stop string is placed a token early", "wide", 40));
  bugs.push_back(Plant<OrderLost>("a token never reaches its text stage", "mixed", 3));
  bugs.push_back(Plant<StopsForgotten>("stop strings are never looked for", "wide", 40));
  bugs.push_back(Plant<OrdersSwapped>("a text stage gets two tokens in the wrong order", "mixed", 5));
  bugs.push_back(Plant<CancelLost>("nobody hears that a client left", "leave", 5));
  bugs.push_back(Plant<DeadlineLost>("deadlines are forgotten", "leave", 20));
  return bugs;
}

}  // namespace conclave::sim
