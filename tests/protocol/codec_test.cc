#include "protocol/codec.h"

#include "base/limits.h"
#include "base/philox.h"
#include "conclave/cluster/v1/control.pb.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

std::vector<FromWorker> FromWorkerExamples() {
  Hello hello{
      .uuid = "u", .role = Role::kExpert, .address = "host:1", .numerics = ~0ull, .kernels = "ref"};
  hello.model = {.identity = 1ull << 63,
                 .name = "m",
                 .vocab = 7,
                 .context = 8,
                 .moe_layers = 2,
                 .experts = 4,
                 .topk = 2};
  hello.standby_address = std::string("\0\xff binary", 9);
  hello.kv_blocks = 5;
  hello.last_epoch = Epoch(5, 1u << 30);
  hello.last_slot = 0;
  SlotSet slots;
  slots.Add(Slot{0});
  slots.Add(Slot{127});
  StepResult result{.epoch = Epoch(1, 1), .step = StepId{2}, .slot = Slot{3}, .digest = ~1ull};
  result.sampled = {{.seq = SeqId{1}, .position = 4, .token = 9},
                    {.seq = SeqId{2},
                     .position = 5,
                     .token = 8,
                     .has_logprob = true,
                     .logprob = {.id = 8, .logprob = -0.5f, .top = {{8, -0.5f}, {1, -2.0f}}}}};
  result.prompt_logprobs = {
      {.seq = SeqId{2}, .begin = 1, .entries = {{.id = 3, .logprob = -1.0f, .top = {}}}}};
  result.routed = {{.seq = SeqId{2}, .begin = 0, .positions = 1, .ids = {0, 511, 127}}};
  result.phases = {{.phase = 4, .micros = 10, .bytes = 20, .ops = 30}};
  result.bytes_sent = 1ull << 40;
  result.bytes_received = 3;
  result.bad_router_rows = 2;
  result.expert_rows = {1, 2, 3};
  return {hello,
          Ready{.epoch = Epoch(1, 2),
                .ok = false,
                .error = "why",
                .last_step_done = StepId{7},
                .standby_address = "a"},
          result,
          StepBroken{.epoch = Epoch(1, 1), .step = StepId{2}, .error = "peer 3"},
          Heartbeat{.epoch = Epoch(1, 1),
                    .progress = 5,
                    .busy = true,
                    .rss_bytes = 6,
                    .exchange = 7,
                    .waits_for = slots,
                    .looks = 9},
          Heartbeat{},
          Loaded{.epoch = Epoch(1, 3), .ok = true, .error = {}, .address = "b", .expert_bytes = 9},
          Connected{.epoch = Epoch(1, 3), .ok = false, .error = "slot 127", .unreachable = slots},
          RecorderTold{.ticket = 4, .text = "lines"},
          LoadProgress{.epoch = Epoch(2, 3), .expert_bytes = 1},
          LeaveAsked{}};
}

std::vector<ToWorker> ToWorkerExamples() {
  PlacementBuilder builder(2, 3);
  for (const int slot : {0, 5, 127}) builder.AddOwner(1, 2, Slot{slot});
  builder.AddOwner(0, 1, Slot{127});
  const Placement owners_only = builder.Build();
  const std::vector<std::uint8_t> shares = {0, 1, 200};
  builder.SetShares(1, 2, shares);
  SlotSet homes;
  for (const int slot : {0, 64, 127}) homes.Add(Slot{slot});
  builder.SetHomes(homes);
  const Placement placement = builder.Build();
  SamplingParams sampling{
      .temperature = 0.7, .top_k = 20, .top_p = 0.8, .seed = ~0ull, .logprobs = 0};
  sampling.logit_bias = {{1, -1.5f}, {9, 2.0f}};
  sampling.stop_ids = {1, 2};
  StepPlan plan{.epoch = Epoch(1, 1), .step = StepId{2}};
  WorkerPart part{.slot = Slot{4}, .closes = {SeqId{9}}};
  part.opens = {{.seq = SeqId{1},
                 .sampling = sampling,
                 .prompt_tokens = 1,
                 .tokens = {1, 2},
                 .blocks = {BlockId{3}}}};
  part.chunks = {
      {.seq = SeqId{1}, .begin = 0, .count = 2, .sample = true, .new_blocks = {BlockId{0}}}};
  plan.parts = {part, WorkerPart{.slot = Slot{5}}};
  plan.rounds = 7;
  return {Welcome{.slot = Slot{5}},
          Prepare{.epoch = Epoch(1, 2),
                  .peers = {{.slot = Slot{0}, .uuid = "a", .address = "x"}},
                  .placement = placement},
          Load{.epoch = Epoch(1, 3), .slot = Slot{127}, .placement = placement},
          Load{.epoch = Epoch(1, 4), .slot = Slot{0}, .placement = owners_only},
          Preload{.epoch = Epoch(1, 3), .slot = Slot{5}, .placement = placement, .drop = true},
          Connect{.epoch = Epoch(1, 3), .peers = {{.slot = Slot{0}, .uuid = "a", .address = "x"}}},
          RecorderAsked{.ticket = 4},
          Commit{.epoch = Epoch(1, 2), .first_step = StepId{3}},
          AsksFor(plan)[0],
          Goodbye{.reason = "numerics differ", .refused = true}};
}

TEST(Codec, EveryMessageComesBackAsItWas) {
  for (const FromWorker& message : FromWorkerExamples()) {
    const auto back = DecodeFromWorker(Encode(message));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, message) << message.index();
  }
  for (const ToWorker& message : ToWorkerExamples()) {
    const auto back = DecodeToWorker(Encode(message));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, message) << message.index();
  }
}

TEST(Codec, MutatedBytesAreRefusedOrDecoded_NeverWorse) {
  Rng rng(11);
  for (int round = 0; round < 20000; ++round) {
    const auto from = FromWorkerExamples();
    const auto to = ToWorkerExamples();
    std::string a = Encode(from[rng.Below(from.size())]);
    std::string b = Encode(to[rng.Below(to.size())]);
    for (std::string* bytes : {&a, &b}) {
      for (std::uint64_t flips = 1 + rng.Below(4); flips > 0 && !bytes->empty(); --flips) {
        (*bytes)[rng.Below(bytes->size())] = static_cast<char>(rng.Below(256));
      }
      if (rng.Below(4) == 0) bytes->resize(rng.Below(bytes->size() + 1));
    }
    (void)DecodeFromWorker(a);
    (void)DecodeToWorker(b);
  }
}

TEST(Codec, BoundsNameTheField) {
  cluster::v1::ToWorker proto;
  proto.mutable_welcome()->set_slot(128);
  proto.mutable_welcome()->set_heartbeat_micros(1);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "welcome.slot is 128, not in 0..127");
  proto.mutable_step_ask()->add_part_digests(1);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "step.part_rows size is 0, not in 1..1");
  proto.mutable_step_ask()->add_part_rows(kWorkerRowsMax + 1);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "step.part_rows is 8193, not in 0..8192");
  proto.mutable_step_ask()->set_part_rows(0, kWorkerRowsMax);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "step.rounds is 0, not in 1..8192");
  proto.mutable_step_ask()->set_rounds(kRoundsMax);
  auto* open = proto.mutable_step_ask()->add_opens();
  open->add_tokens(1);
  open->set_prompt_tokens(2);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "step.opens.prompt_tokens is 2, not in 1..1");
  proto.mutable_prepare()->mutable_placement()->set_moe_layers(1);
  proto.mutable_prepare()->mutable_placement()->set_experts(1);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "prepare.placement: owners end too early");
  proto.mutable_prepare()->mutable_placement()->set_experts(kExpertsMax + 1);
  EXPECT_EQ(DecodeToWorker(proto.SerializeAsString()).status().message(),
            "prepare.placement.experts is 513, not in 0..512");
  EXPECT_FALSE(DecodeToWorker("").ok());
  EXPECT_FALSE(DecodeFromWorker("\xff\xff\xff").ok());
}

}  // namespace
}  // namespace conclave
