// What a link leaves behind when it is closed while a frame is under way.
#include "exchange/backend/ucx_link.h"

#include <memory>
#include <vector>

#include "exchange/backend/ucx_worker.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

// Two UCX workers of one process, `link` from the first to the second.
class UcxLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    auto context = UcxContext::Make({.transports = "tcp,self", .net_devices = "lo"});
    ASSERT_TRUE(context.ok()) << context.status();
    context_ = *std::move(context);
    for (std::unique_ptr<UcxWorker>* worker : {&sender_, &receiver_}) {
      auto made = UcxWorker::Make(*context_);
      ASSERT_TRUE(made.ok()) << made.status();
      *worker = *std::move(made);
    }
    ucp_am_handler_param_t param{};
    param.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG;
    param.id = kUcxFrameMessage;
    param.cb = KeepForLater;
    param.arg = this;
    ASSERT_EQ(ucp_worker_set_am_recv_handler(receiver_->handle(), &param), UCS_OK);
    ASSERT_EQ(link_.Connect(sender_->handle(), receiver_->address()), UCS_OK);
  }

  void TearDown() override {
    if (kept_ != nullptr) ucp_am_data_release(receiver_->handle(), kept_);
  }

  // The receiver hears of the frame, and does not fetch it.
  static ucs_status_t KeepForLater(void* test, const void*, std::size_t, void* data, std::size_t,
                                   const ucp_am_recv_param_t*) {
    static_cast<UcxLinkTest*>(test)->kept_ = data;
    return UCS_INPROGRESS;
  }

  // Both workers progress; true when `done` became true within a bounded number of calls.
  template <typename Done>
  bool Progress(Done done) {
    for (int i = 0; i < 200'000; ++i) {
      if (done()) return true;
      sender_->Progress();
      receiver_->Progress();
    }
    return false;
  }

  void* kept_ = nullptr;  // what the receiver has of a frame that it did not fetch
  std::unique_ptr<UcxContext> context_;
  std::unique_ptr<UcxWorker> sender_, receiver_;
  UcxLink link_{Slot{1}};
};

// The receiver never fetches the frame, so its rendezvous is pending when the link is closed: the
// sender's memory may only be given back once it has settled.
TEST_F(UcxLinkTest, ATransferUnderWaySettlesAfterTheLinkIsClosed) {
  const std::vector<std::byte> frame(std::size_t{4} << 20);
  ASSERT_TRUE(
      link_.Send({.epoch = 1, .exchange = 0, .bytes = frame.size(), .source = 0, .zero = 0}, frame)
          .ok());
  EXPECT_FALSE(link_.Settled()) << "the frame was sent at once: this test shows nothing";
  ASSERT_TRUE(Progress([&] { return kept_ != nullptr; }));
  EXPECT_FALSE(link_.Settled()) << "the frame arrived unasked: this test shows nothing";
  const ucs_status_ptr_t closing = link_.Disconnect();
  if (closing != nullptr) {
    EXPECT_TRUE(Progress([&] { return ucp_request_check_status(closing) != UCS_INPROGRESS; }));
    ucp_request_free(closing);
  }
  EXPECT_TRUE(Progress([&] { return link_.Settled(); }));
}

TEST_F(UcxLinkTest, AnIdleLinkIsSettled) {
  EXPECT_TRUE(link_.Settled());
  const ucs_status_ptr_t closing = link_.Disconnect();
  if (closing != nullptr) {
    EXPECT_TRUE(Progress([&] { return ucp_request_check_status(closing) != UCS_INPROGRESS; }));
    ucp_request_free(closing);
  }
  EXPECT_TRUE(link_.Settled());
}

}  // namespace
}  // namespace conclave
