#include "coordinator/reconfig/connect.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/give_up.h"
#include "coordinator/reconfig/lose_worker.h"
#include "coordinator/suspects.h"

namespace conclave {
namespace {

using Staged = StagedReconfiguration;
using Member = StagedReconfiguration::Member;

struct Failure {
  const Member* member;
  std::string why;
};

const Member& MemberAt(const std::vector<Member>& members, Slot slot) {
  return *std::ranges::find(members, slot, &Member::slot);
}

// What members say of the links between them.
std::vector<BrokenLink> BrokenLinksOf(const std::vector<Member>& members) {
  std::vector<BrokenLink> links;
  for (const Member& member : members) {
    for (const Member& peer : members) {
      if (!member.unreachable.Has(peer.slot)) continue;
      links.push_back({.from = peer.slot, .to = member.slot});
    }
  }
  return links;
}

// Members that failed for reasons of their own.
std::vector<Failure> FailuresOf(const std::vector<Member>& members) {
  std::vector<Failure> failures;
  for (const Member& member : members) {
    if (!member.answered) {
      failures.push_back({&member, "did not connect in time"});
    } else if (!member.error.empty() && member.unreachable.empty()) {
      failures.push_back({&member, "cannot connect: " + member.error});
    }
  }
  return failures;
}

// A member that another member does not hear, either, is silent for reasons of its own: that no
// newcomer hears it is evidence against none of them.
void ForgiveNewcomers(const std::vector<Member>& members, std::vector<BrokenLink>& links) {
  const auto newcomer = [&](Slot slot) { return MemberAt(members, slot).newcomer; };
  SlotSet doubtful;
  for (const BrokenLink& link : links) {
    if (newcomer(link.from) || newcomer(link.to)) continue;
    doubtful.Add(link.from);
    doubtful.Add(link.to);
  }
  std::erase_if(links, [&](const BrokenLink& link) {
    return (newcomer(link.from) && doubtful.Has(link.to)) ||
           (newcomer(link.to) && doubtful.Has(link.from));
  });
}

// Newcomers that must not come along; their links are taken from `links`. Without them the rest may
// be whole.
std::vector<Failure> RefusalsOf(const std::vector<Member>& members,
                                const std::vector<Failure>& failures,
                                std::vector<BrokenLink>& links) {
  std::vector<Failure> refused;
  for (const Failure& failure : failures) {
    if (!failure.member->newcomer) continue;
    refused.push_back(failure);
    ForgetLinksOf(failure.member->slot, links);
  }
  std::vector<Pulse> newcomers;
  for (const Member& member : members) {
    if (member.newcomer) newcomers.push_back({.slot = member.slot, .link = member.link});
  }
  while (const Pulse* worst = MostBroken(links, newcomers)) {
    const auto peers = std::ranges::count_if(links, [&](const BrokenLink& link) {
      return link.from == worst->slot || link.to == worst->slot;
    });
    refused.push_back({&MemberAt(members, worst->slot),
                       absl::StrCat("its links to other workers carry nothing (", peers,
                                    " of them)")});
    ForgetLinksOf(worst->slot, links);
  }
  return refused;
}

// Why the members that serve cannot form the next epoch; empty: they can.
std::string WhyMembersFail(const std::vector<Failure>& failures,
                           const std::vector<BrokenLink>& links) {
  std::string why;
  for (const Failure& failure : failures) {
    if (failure.member->newcomer) continue;
    why = absl::StrCat("slot ", failure.member->slot.value, " ", failure.why);
  }
  if (why.empty() && !links.empty()) {
    why = absl::StrCat("slot ", links.front().to.value, " hears nothing from slot ",
                       links.front().from.value, " on a fresh link");
  }
  return why;
}

}  // namespace

void SendConnect(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Staged& staged = *state.reconfig.staged();
  staged.Enter(Staged::Stage::kConnecting, now);
  Connect connect{.epoch = staged.epoch, .peers = {}};
  for (const Member& member : staged.members) {
    connect.peers.push_back(
        {member.slot, state.membership.Find(member.link)->hello.uuid, member.address});
  }
  TellWorkers all{.links = {}, .message = std::move(connect)};
  for (const Member& member : staged.members) all.links.push_back(member.link);
  outbox.push_back(std::move(all));
}

void TakeConnected(CoordinatorState& state, WorkerLink& link, Micros now,
                   const Connected& connected, CoordinatorOutbox& outbox) {
  if (connected.epoch > state.reconfig.highest_proposed) {
    DropWorker(state, link.id, now, "Connected for an epoch that was never proposed", outbox);
    return;
  }
  Staged* staged = state.reconfig.staged();
  if (staged == nullptr || connected.epoch != staged->epoch ||
      staged->stage != Staged::Stage::kConnecting) {
    return;
  }
  Member* member = staged->MemberOf(link.id);
  if (member == nullptr || member->answered) return;
  member->answered = true;
  if (connected.ok) return;
  member->error = connected.error.empty() ? "no reason given" : connected.error;
  member->unreachable = connected.unreachable;
}

void JudgeConnections(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const std::vector<Member> members = state.reconfig.staged()->members;
  std::vector<BrokenLink> links = BrokenLinksOf(members);
  const std::vector<Failure> failures = FailuresOf(members);
  if (links.empty() && failures.empty()) {
    state.reconfig.staged()->Enter(Staged::Stage::kMoving, now);
    return;
  }
  ForgiveNewcomers(members, links);
  const std::vector<Failure> refused = RefusalsOf(members, failures, links);
  std::string members_fail = WhyMembersFail(failures, links);
  for (const Failure& failure : refused) {
    RefuseWorker(state, failure.member->link, now, failure.why, outbox);
  }
  if (!members_fail.empty()) GiveUpChange(state, now, std::move(members_fail), outbox);
}

}  // namespace conclave
