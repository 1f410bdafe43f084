#include "coordinator/schedule/budget.h"

#include <gtest/gtest.h>

namespace conclave {
namespace {

WorkerBudget BudgetOf(std::int32_t rows, std::int64_t limit_rows) {
  WorkerBudget budget(RowCost(0), rows);
  budget.SetCostLimit(RowCost(0).OfRows(limit_rows));
  return budget;
}

TEST(WorkerBudget, DecodeRowsAreBoundedByTheWorkspaceOnly) {
  const WorkerBudget budget = BudgetOf(100, 40);
  EXPECT_EQ(budget.Fit(RowUse::kDecode, 0, 99), 99);
  EXPECT_EQ(budget.Fit(RowUse::kPrompt, 0, 99), 40);
  EXPECT_EQ(BudgetOf(30, 40).Fit(RowUse::kPrompt, 0, 99), 30);
}

TEST(WorkerBudget, SomeOtherRowsFitWhateverDecodeRowsCost) {
  WorkerBudget budget(RowCost(0), 200);
  budget.Spend(RowUse::kDecode, 5, 150);
  budget.SetCostLimit(RowCost(0).OfRows(100));
  EXPECT_EQ(budget.Fit(RowUse::kPrompt, 0, 99), WorkerBudget::kOtherRowsMin);
  EXPECT_EQ(budget.Fit(RowUse::kRecompute, 0, 99), 50) << "no more than the workspace takes";
}

TEST(WorkerBudget, ContextCounts) {
  WorkerBudget budget(RowCost(1000), 4096);
  budget.SetCostLimit(RowCost(1000).OfRows(512));
  const std::int32_t fresh = budget.Fit(RowUse::kPrompt, 0, 4096);
  const std::int32_t deep = budget.Fit(RowUse::kPrompt, 99'000, 4096);
  EXPECT_GT(fresh, 400);
  EXPECT_EQ(deep, 6) << "each costs a hundred of the others; the last may exceed the budget";
}

TEST(WorkerBudget, WhatIsReservedForMigrationIsNotSeenByPrompts) {
  WorkerBudget budget = BudgetOf(100, 80);
  budget.ReserveForMigration(0, 8);
  EXPECT_EQ(budget.Fit(RowUse::kPrompt, 0, 99), 72);
  budget.ReserveForMigration(0, 99);
  EXPECT_EQ(budget.rows_reserved(), 20) << "a quarter of the cost, at most";
  budget.Spend(RowUse::kPrompt, 0, budget.Fit(RowUse::kPrompt, 0, 99));
  EXPECT_EQ(budget.Fit(RowUse::kPrompt, 0, 99), 0);
  EXPECT_EQ(budget.Fit(RowUse::kMigration, 0, 99), 20);
  budget.Spend(RowUse::kMigration, 0, 20);
  EXPECT_EQ(budget.Fit(RowUse::kMigration, 0, 99), 0);
  EXPECT_EQ(budget.migration_rows(), 20);
  EXPECT_EQ(BudgetOf(1, 1).Fit(RowUse::kMigration, 0, 9), 1);
}

TEST(WorkerBudget, LongPromptsHaveHalfUntilTheCapIsLifted) {
  WorkerBudget budget = BudgetOf(100, 80);
  budget.CapLongPrompts();
  EXPECT_EQ(budget.Fit(RowUse::kLongPrompt, 0, 99), 40);
  budget.Spend(RowUse::kLongPrompt, 0, 30);
  EXPECT_EQ(budget.Fit(RowUse::kLongPrompt, 0, 99), 10);
  EXPECT_EQ(budget.Fit(RowUse::kPrompt, 0, 99), 50);
  budget.Spend(RowUse::kPrompt, 0, 5);
  budget.LiftCap();
  EXPECT_EQ(budget.Fit(RowUse::kLongPrompt, 0, 99), 45);
}

TEST(WorkerBudget, AnAnswerThatIsComputedAgainGetsEnoughToEndAMigration) {
  const WorkerBudget budget = BudgetOf(100, 20);
  EXPECT_EQ(budget.Fit(RowUse::kRecompute, 0, 99), WorkerBudget::kRecomputeRowsMin);
  EXPECT_EQ(budget.Fit(RowUse::kRecompute, 0, 40), 40);
}

TEST(WorkerBudget, DecodeRowsAreTakenFromTheLimit) {
  WorkerBudget budget(RowCost(10), 100);
  budget.Spend(RowUse::kDecode, 10, 1);
  budget.SetCostLimit(10 * 60);
  EXPECT_EQ(budget.cost_used(), 20);
  EXPECT_EQ(budget.cost_other(), 0);
  budget.Spend(RowUse::kPrompt, 0, 2);
  EXPECT_EQ(budget.cost_used(), 41);
  EXPECT_EQ(budget.cost_other(), 21);
}

}  // namespace
}  // namespace conclave
