#include "rig.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/edge/credentials.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/generic/generic_stub.h"

namespace conclave {
namespace {

constexpr auto kLong = std::chrono::seconds(60);

}  // namespace

std::string TalesDir() { return CONCLAVE_SOURCE_DIR "/models/tales-128e"; }

LogFn LogBook::AsFunction() {
  return [this](LogLevel, std::string_view line) {
    std::lock_guard lock(mutex_);
    lines_ += std::string(line) + "\n";
    wake_.notify_all();
  };
}

bool LogBook::Await(const std::string& part) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, kLong, [&] { return lines_.find(part) != std::string::npos; });
}

std::string LogBook::all() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

Rig::Rig(RigOptions options) {
  CoordinatorOptions coordinator;
  coordinator.model_dir = TalesDir();
  coordinator.core = options.core;
  coordinator.core.workers_wanted = options.workers + options.experts_only;
  coordinator.listen = "127.0.0.1:0";
  coordinator.admin = "127.0.0.1:0";
  coordinator.version = "1.2.3";
  coordinator.commit = "abc";
  coordinator.log = log_.AsFunction();
  auto server = CoordinatorServer::Start(coordinator);
  CONCLAVE_CHECK(server.ok(), "%s", server.status().ToString().c_str());
  server_ = *std::move(server);
  for (int i = 0; i < options.workers + options.experts_only; ++i) {
    WorkerOptions worker;
    worker.model_dir = TalesDir();
    worker.role = i < options.workers ? Role::kWorker : Role::kExpert;
    worker.kv_memory_bytes = std::uint64_t{64} << 20;
    worker.threads = 1;
    worker.hub = &hub_;
    worker.coordinator = server_->InProcessChannel();
    worker.log = log_.AsFunction();
    auto runner = WorkerRunner::Start(worker);
    CONCLAVE_CHECK(runner.ok(), "%s", runner.status().ToString().c_str());
    workers_.push_back(*std::move(runner));
  }
  if (!workers_.empty()) {
    CONCLAVE_CHECK(log_.Await("\nready to serve"), "%s", log_.all().c_str());
  }
  client_ = v1::InferenceService::NewStub(
      options.sockets ? ChannelTo(absl::StrCat("127.0.0.1:", server_->port()))
                      : server_->InProcessChannel());
}

Rig::~Rig() {
  client_.reset();
  workers_.clear();
  server_.reset();
}

v1::GetLoadResponse Rig::Load() {
  grpc::ClientContext context;
  v1::GetLoadResponse response;
  const grpc::Status status = client_->GetLoad(&context, {}, &response);
  CONCLAVE_CHECK(status.ok(), "%s", status.error_message().c_str());
  return response;
}

bool Rig::AwaitLoad(const std::function<bool(const v1::GetLoadResponse&)>& fits) {
  const auto until = std::chrono::steady_clock::now() + kLong;
  while (std::chrono::steady_clock::now() < until) {
    if (fits(Load())) return true;
    std::this_thread::yield();
  }
  return false;
}

v1::GenerateRequest Greedy(const std::string& text, int max_tokens) {
  v1::GenerateRequest request;
  request.set_text(text);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(max_tokens);
  request.mutable_stop()->set_ignore_eos(true);
  return request;
}

void Gather(const v1::GenerateResponse& response, Answer& answer) {
  ++answer.messages;
  answer.ids.insert(answer.ids.end(), response.token_ids().begin(), response.token_ids().end());
  answer.text += response.text();
  for (const v1::TokenLogprob& entry : response.logprobs()) {
    answer.logprobs.push_back(entry.logprob());
  }
  if (!response.has_finished()) return;
  ++answer.finished_messages;
  answer.finished = response.finished();
}

Answer Generate(v1::InferenceService::Stub& client, const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLong);
  Answer answer;
  const auto reader = client.Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) Gather(response, answer);
  answer.status = reader->Finish();
  return answer;
}

grpc::Status CallRaw(int port, const std::string& method, const std::string& bytes,
                     std::string* response) {
  grpc::GenericStub stub(ChannelTo(absl::StrCat("127.0.0.1:", port)));
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer buffer;
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  grpc::Status status;
  call->StartCall();
  call->Finish(&buffer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice flat;
  if (status.ok() && response != nullptr && buffer.DumpToSingleSlice(&flat).ok()) {
    response->assign(reinterpret_cast<const char*>(flat.begin()), flat.size());
  }
  return status;
}

ErrorFacts FactsOf(const grpc::Status& status) {
  ErrorFacts facts;
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return facts;
  for (const google::protobuf::Any& any : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      facts.domain = info.domain();
      facts.reason = info.reason();
    } else if (any.UnpackTo(&bad) && bad.field_violations_size() > 0) {
      facts.field = bad.field_violations(0).field();
    } else if (any.UnpackTo(&retry)) {
      facts.retry = true;
    }
  }
  return facts;
}

}  // namespace conclave
