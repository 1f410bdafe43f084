#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <limits>
#include <thread>

#include "kernels/kernel_set.h"

namespace conclave {
namespace {

volatile float g_smallest_normal = std::numeric_limits<float>::min();
volatile float g_subnormal = std::numeric_limits<float>::denorm_min();
volatile double g_subnormal_double = std::numeric_limits<double>::denorm_min();

// On a thread of its own: the mode is the thread's.
template <typename Body>
void OnThread(Body body) {
  std::thread(body).join();
}

TEST(FloatMode, ResultsBelowTheNormalRangeBecomeZero) {
  OnThread([] {
    EXPECT_NE(g_smallest_normal * 0.5f, 0.0f) << "this thread flushes before it was asked to";
    SetComputeThreadFloatMode();
    EXPECT_EQ(g_smallest_normal * 0.5f, 0.0f);
  });
}

TEST(FloatMode, SubnormalInputsCountAsZero) {
  OnThread([] {
    SetComputeThreadFloatMode();
    EXPECT_EQ(g_subnormal * 0x1p120f, 0.0f);
    EXPECT_EQ(g_subnormal_double * 0x1p1000, 0.0);
  });
}

TEST(FloatMode, RoundsToNearestWhateverWasSetBefore) {
  OnThread([] {
    std::fesetround(FE_UPWARD);
    SetComputeThreadFloatMode();
    volatile float one = 1.0f;
    volatile float sliver = 0x1p-30f;
    EXPECT_EQ(one + sliver, 1.0f);
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  });
}

TEST(FloatMode, DoesNotTouchOtherThreads) {
  OnThread([] { SetComputeThreadFloatMode(); });
  EXPECT_NE(g_smallest_normal * 0.5f, 0.0f);
}

}  // namespace
}  // namespace conclave
