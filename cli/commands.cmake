# `conclave`: what is pure, the commands, and the program.
conclave_library(cli_request
  HEADERS edge
  SOURCES
    bench_plan.cc chat_session.cc generate_output.cc generate_request.cc load.cc request_flags.cc
    resuming_stream.cc status_text.cc flight_text.cc
  LINKS conclave_base conclave_protocol conclave_proto CLI11::CLI11 nlohmann_json::nlohmann_json
        absl::status absl::statusor absl::strings absl::str_format absl::time)
# What talks to a cluster.
conclave_library(cli_client
  HEADERS edge
  SOURCES admin_client.cc client.cc
  LINKS conclave_cli_request conclave_base_edge conclave_proto conclave_coordinator_edge)
conclave_library(cli_commands
  HEADERS edge
  SOURCES
    ask.cc bench_cluster.cc bench_coordinator.cc bench_coordinator_load.cc bench_engine.cc
    bench_exchange.cc bench_serve.cc bench_streams.cc bench_workers.cc chat.cc
    cluster.cc drain.cc flight_recorder.cc generate.cc generate_many.cc lines.cc model.cc progress.cc
    rebalance.cc render.cc serve.cc serve_flags.cc status.cc target.cc tokenize.cc
  LINKS
    conclave_cli_common conclave_cli_process conclave_cli_client conclave_cli_coordinator
    conclave_cli_worker conclave_cli_request
    conclave_coordinator_edge conclave_worker_edge conclave_model_edge conclave_text
    conclave_machine conclave_exchange_bench conclave_sim_worker conclave_text_toy)
conclave_program(conclave HEADERS edge SOURCES main.cc LINKS conclave_cli_commands)

# What `make demo` runs, and all that it builds.
add_custom_target(demo DEPENDS conclave conclave-coordinator conclave-worker)
