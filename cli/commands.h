// Every command of `conclave`: its name, one line of help, and what runs it. Each parses its own
// arguments (argv[0] is "conclave NAME") and returns the exit code.
#pragma once

#include <string>

namespace conclave {

using CommandFn = int (*)(int argc, const char* const* argv);

int RunServe(int argc, const char* const* argv);
int RunGenerate(int argc, const char* const* argv);
int RunChat(int argc, const char* const* argv);
int RunTokenize(int argc, const char* const* argv);
int RunRender(int argc, const char* const* argv);
int RunStatus(int argc, const char* const* argv);
int RunTop(int argc, const char* const* argv);
int RunDrain(int argc, const char* const* argv);
int RunRebalance(int argc, const char* const* argv);
int RunFlightRecorder(int argc, const char* const* argv);
int RunModelInspect(int argc, const char* const* argv);
int RunModelRandom(int argc, const char* const* argv);
int RunModelVerify(int argc, const char* const* argv);
int RunBenchEngine(int argc, const char* const* argv);
int RunBenchServe(int argc, const char* const* argv);
int RunBenchExchange(int argc, const char* const* argv);
int RunBenchCoordinator(int argc, const char* const* argv);

}  // namespace conclave
