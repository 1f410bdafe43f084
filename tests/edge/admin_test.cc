// The admin plane: health, probes, metrics, GetCluster; ports in use; addresses that need a word.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/edge/credentials.h"
#include "rig.h"

namespace conclave {
namespace {

// The whole answer to GET path, headers included.
std::string HttpGet(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string ask = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(fd, ask.data(), ask.size()), static_cast<ssize_t>(ask.size()));
    std::array<char, 4096> chunk;
    ssize_t got = 0;
    while ((got = read(fd, chunk.data(), chunk.size())) > 0) {
      answer.append(chunk.data(), static_cast<std::size_t>(got));
    }
  }
  close(fd);
  return answer;
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

v1::GetClusterResponse Cluster(Rig& rig) {
  const auto stub = v1::AdminService::NewStub(
      ChannelTo("127.0.0.1:" + std::to_string(rig.server().admin_port())));
  grpc::ClientContext context;
  v1::GetClusterRequest request;
  request.set_with_experts(true);
  v1::GetClusterResponse response;
  EXPECT_TRUE(stub->GetCluster(&context, request, &response).ok());
  return response;
}

TEST(Admin, ProbesTellStartingFromReady) {
  Rig waiting({.workers = 0});
  const int port = waiting.server().admin_http_port();
  EXPECT_TRUE(Has(HttpGet(port, "/livez"), " 200 "));
  EXPECT_TRUE(Has(HttpGet(port, "/readyz"), " 503 "));
  EXPECT_TRUE(Has(HttpGet(port, "/startupz"), " 503 "));
  EXPECT_TRUE(Has(HttpGet(port, "/nothing"), " 404 "));
  EXPECT_TRUE(Has(HttpGet(port, "/metrics"), "conclave_ready 0"));
  Rig ready;
  EXPECT_TRUE(Has(HttpGet(ready.server().admin_http_port(), "/readyz"), " 200 "));
  EXPECT_TRUE(Has(HttpGet(ready.server().admin_http_port(), "/startupz"), " 200 "));
}

TEST(Admin, MetricsCountWhatHappened) {
  Rig rig;
  const Answer answer = Generate(rig.client(), Greedy("The fox", 12));
  ASSERT_TRUE(answer.status.ok());
  const std::string page = HttpGet(rig.server().admin_http_port(), "/metrics");
  EXPECT_TRUE(Has(page, "conclave_generation_tokens_total 12")) << page;
  EXPECT_TRUE(Has(page, "conclave_time_to_first_token_seconds_count 1"));
  EXPECT_TRUE(Has(page, "conclave_inter_token_latency_seconds_count 11"));
  EXPECT_TRUE(Has(page, "conclave_request_success_total{finished_reason=\"length\"} 1"));
  EXPECT_TRUE(Has(page, "conclave_step_phase_seconds_total{phase=\"experts\"}"));
  EXPECT_TRUE(Has(page, "conclave_expert_imbalance"));
  EXPECT_TRUE(Has(page, "conclave_request_success_total{finished_reason=\"replaced\"} 0"));
  EXPECT_TRUE(Has(page, "conclave_workers{state=\"active\"} 1"));
  EXPECT_TRUE(Has(page, "conclave_workers{state=\"suspect\"} 0"));
  EXPECT_TRUE(Has(page, "conclave_suspects 0"));
  EXPECT_TRUE(Has(page, "conclave_epoch_change_under_way 0"));
  EXPECT_TRUE(Has(page, "conclave_epoch_changes_total{kind=\"loss\"} 0"));
  EXPECT_TRUE(Has(page, "conclave_epoch_pause_seconds_bucket{le=\"+Inf\"}"));
  EXPECT_TRUE(Has(page, "conclave_requests_resumed_total 0"));
  EXPECT_TRUE(Has(RenderMetrics(rig.worker(0).Report()), "conclave_worker_steps_total"));
  EXPECT_GT(rig.worker(0).Report().steps, 0u);
}

// SERVING is 1, NOT_SERVING 2, an error is negative. The reply is one enum field: our own bytes
// need no health.proto.
int CheckHealth(Rig& rig, const std::string& service) {
  const std::string bytes =
      service.empty() ? "" : std::string("\x0A") + static_cast<char>(service.size()) + service;
  std::string response;
  const grpc::Status status =
      CallRaw(rig.server().admin_port(), "/grpc.health.v1.Health/Check", bytes, &response);
  if (!status.ok()) return -static_cast<int>(status.error_code());
  return response.size() == 2 ? static_cast<int>(response[1]) : 0;
}

TEST(Admin, HealthFollowsReadiness) {
  Rig rig;
  for (const char* service : {"", "liveness", "readiness", "conclave.v1.InferenceService"}) {
    EXPECT_EQ(CheckHealth(rig, service), 1) << service;
  }
  EXPECT_EQ(CheckHealth(rig, "nobody"), -static_cast<int>(grpc::StatusCode::NOT_FOUND));
}

// The moment nobody holds some expert, nobody may be sent here, and whoever asks why is told.
TEST(Admin, ReadinessTurnsOffAtOnceAndSaysWhy) {
  Rig rig;
  const int http = rig.server().admin_http_port();
  ASSERT_TRUE(Has(HttpGet(http, "/readyz"), " 200 "));
  rig.Kill(0);
  ASSERT_TRUE(rig.log().Await("\nnot ready to serve"));
  const std::string page = HttpGet(http, "/readyz");
  EXPECT_TRUE(Has(page, " 503 ")) << page;
  EXPECT_TRUE(Has(page, "not ready: ")) << page;
  EXPECT_FALSE(Has(page, "not ready: \n")) << "no reason";
  EXPECT_TRUE(Has(page, Cluster(rig).not_ready_because())) << page;
  EXPECT_EQ(CheckHealth(rig, "readiness"), 2);
  EXPECT_EQ(CheckHealth(rig, "conclave.v1.InferenceService"), 2);
  EXPECT_EQ(CheckHealth(rig, "liveness"), 1);
  EXPECT_TRUE(Has(HttpGet(http, "/livez"), " 200 "));
  EXPECT_TRUE(Has(HttpGet(http, "/startupz"), " 200 ")) << "it had started";
  EXPECT_TRUE(Has(HttpGet(http, "/metrics"), "conclave_ready 0"));
}

TEST(Admin, TheClusterShowsEveryExpertOnce) {
  Rig rig({.workers = 2});
  ASSERT_TRUE(Generate(rig.client(), Greedy("The fox", 12)).status.ok());
  const v1::GetClusterResponse cluster = Cluster(rig);
  EXPECT_TRUE(cluster.ready());
  ASSERT_EQ(cluster.workers_size(), 2);
  const int pairs = cluster.model().moe_layers() * cluster.model().experts();
  EXPECT_EQ(cluster.workers(0).experts() + cluster.workers(1).experts(), pairs);
  EXPECT_EQ(cluster.workers(0).layers_size(), cluster.model().moe_layers());
  EXPECT_GT(cluster.steps(), 0u);
  EXPECT_GT(cluster.phases_size(), 0);
}

std::unique_ptr<v1::AdminService::Stub> AdminOf(Rig& rig) {
  return v1::AdminService::NewStub(
      ChannelTo("127.0.0.1:" + std::to_string(rig.server().admin_port())));
}

v1::GetFlightRecorderResponse LastWordsOf(Rig& rig, const std::string& worker) {
  grpc::ClientContext context;
  v1::GetFlightRecorderRequest request;
  request.set_worker(worker);
  v1::GetFlightRecorderResponse response;
  const grpc::Status status = AdminOf(rig)->GetFlightRecorder(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

TEST(Admin, EverybodyTellsTheirLastWords) {
  Rig rig({.workers = 2});
  v1::GenerateRequest request = Greedy("The fox", 12);
  request.set_request_id("the-one");
  ASSERT_TRUE(Generate(rig.client(), request).status.ok());
  const v1::GetFlightRecorderResponse all = LastWordsOf(rig, "");
  ASSERT_EQ(all.processes_size(), 3);
  EXPECT_EQ(all.processes(0).process(), "coordinator");
  const std::string& coordinator = all.processes(0).text();
  for (const char* part : {": hello from ", ": commit epoch 1,", " asked: id the-one, ",
                           " of epoch 1: ", " ends: length, 12 tokens", " ready to serve"}) {
    EXPECT_TRUE(Has(coordinator, part)) << part << " in\n" << coordinator;
  }
  for (int i = 1; i < 3; ++i) {
    EXPECT_TRUE(Has(all.processes(i).process(), "worker ")) << all.processes(i).process();
    const std::string& worker = all.processes(i).text();
    for (const char* part :
         {" welcome as slot ", " told to commit epoch 1", " rows of its own, "}) {
      EXPECT_TRUE(Has(worker, part)) << part << " in\n" << worker;
    }
  }
  const v1::GetFlightRecorderResponse one = LastWordsOf(rig, "1");
  ASSERT_EQ(one.processes_size(), 1);
  EXPECT_EQ(one.processes(0).process(), "worker 1");
  const v1::GetFlightRecorderResponse by_uuid = LastWordsOf(rig, Cluster(rig).workers(0).uuid());
  ASSERT_EQ(by_uuid.processes_size(), 1);
  EXPECT_EQ(by_uuid.processes(0).process(), "worker 0");
  EXPECT_EQ(LastWordsOf(rig, "coordinator").processes_size(), 1);
}

TEST(Admin, LastWordsOfNobodyNameWhoIsThere) {
  Rig rig;
  grpc::ClientContext context;
  v1::GetFlightRecorderRequest request;
  request.set_worker("7");
  v1::GetFlightRecorderResponse response;
  const grpc::Status status = AdminOf(rig)->GetFlightRecorder(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(Has(status.error_message(), "coordinator, 0")) << status.error_message();
}

grpc::Status DrainOf(Rig& rig, const std::string& worker) {
  grpc::ClientContext context;
  v1::DrainWorkerRequest request;
  request.set_worker(worker);
  v1::DrainWorkerResponse response;
  const grpc::Status status = AdminOf(rig)->DrainWorker(&context, request, &response);
  EXPECT_NE(status.ok(), response.text().empty()) << response.text();
  return status;
}

TEST(Admin, ADrainThatCannotBeIsRefusedWithTheReason) {
  Rig rig;
  EXPECT_EQ(DrainOf(rig, "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status unknown = DrainOf(rig, "7");
  EXPECT_FALSE(unknown.ok());
  EXPECT_TRUE(Has(unknown.error_message(), "7")) << unknown.error_message();
  const grpc::Status last = DrainOf(rig, "0");
  EXPECT_EQ(last.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << last.error_message();
  EXPECT_FALSE(FactsOf(last).reason.empty());
  EXPECT_TRUE(Generate(rig.client(), Greedy("The fox", 4)).status.ok());
}

// The first of both that ends: slots are given in the order of hellos, not of the rig.
std::optional<WorkerExit> AwaitAnExit(Rig& rig) {
  for (Micros waited = 0; waited < 60'000'000; waited += 20'000) {
    for (const int worker : {0, 1}) {
      if (auto exit = rig.worker(worker).WaitForExit(10'000)) return exit;
    }
  }
  return std::nullopt;
}

TEST(Admin, ADrainedWorkerIsGoneAndStreamsGoOn) {
  Rig rig({.workers = 2});
  const Answer before = Generate(rig.client(), Greedy("The fox", 40));
  ASSERT_TRUE(DrainOf(rig, "1").ok());
  const Answer during = Generate(rig.client(), Greedy("The fox", 40));
  EXPECT_EQ(during.ids, before.ids);
  const std::optional<WorkerExit> exit = AwaitAnExit(rig);
  ASSERT_TRUE(exit.has_value()) << rig.log().all();
  EXPECT_FALSE(exit->failed) << exit->reason;
  const v1::GetClusterResponse cluster = Cluster(rig);
  EXPECT_EQ(cluster.workers_size(), 1);
  EXPECT_EQ(cluster.last_epoch_change().kind(), "leave");
  EXPECT_EQ(Generate(rig.client(), Greedy("The fox", 40)).ids, before.ids);
}

TEST(Admin, ARebalanceThatDoesNotPaySaysSo) {
  Rig rig({.workers = 2});
  grpc::ClientContext context;
  v1::RebalanceResponse response;
  const grpc::Status status = AdminOf(rig)->Rebalance(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
  EXPECT_FALSE(status.error_message().empty());
}

CoordinatorOptions Options() {
  CoordinatorOptions options;
  options.model_dir = TalesDir();
  options.listen = options.admin = "127.0.0.1:0";
  options.log = [](LogLevel, std::string_view) {};
  return options;
}

TEST(Start, APortInUseIsNamed) {
  const auto first = CoordinatorServer::Start(Options());
  ASSERT_TRUE(first.ok()) << first.status();
  for (std::string CoordinatorOptions::*which :
       {&CoordinatorOptions::listen, &CoordinatorOptions::admin, &CoordinatorOptions::admin_http}) {
    CoordinatorOptions second = Options();
    second.*which = "127.0.0.1:" + std::to_string((*first)->port());
    const auto refused = CoordinatorServer::Start(second);
    ASSERT_FALSE(refused.ok());
    EXPECT_TRUE(Has(std::string(refused.status().message()), second.*which)) << refused.status();
  }
}

TEST(Start, BeyondLoopbackNeedsAWord) {
  CoordinatorOptions options = Options();
  options.listen = "0.0.0.0:0";
  const auto refused = CoordinatorServer::Start(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(Has(std::string(refused.status().message()), "--insecure")) << refused.status();
  options.insecure = true;
  EXPECT_TRUE(CoordinatorServer::Start(options).ok());
  EXPECT_TRUE(IsLoopback("[::1]:80"));
  EXPECT_FALSE(IsLoopback("[::]:80"));
  EXPECT_FALSE(IsLoopback("localhost.example.org:80"));
}

TEST(Start, AMissingModelIsOneLine) {
  CoordinatorOptions options = Options();
  options.model_dir = "/nowhere";
  const auto refused = CoordinatorServer::Start(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(Has(std::string(refused.status().message()), "/nowhere"));
  EXPECT_FALSE(Has(std::string(refused.status().message()), "\n"));
}

}  // namespace
}  // namespace conclave
