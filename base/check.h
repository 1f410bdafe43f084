// CONCLAVE_CHECK: our own mistakes end the process, in release builds too, with the place and the
// values. The caller's mistakes and the world's are absl::Status; see docs/architecture.md.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CONCLAVE_CHECK(condition, ...)                                                  \
  do {                                                                                  \
    if (!(condition)) [[unlikely]] {                                                    \
      std::fprintf(stderr, "%s:%d: check failed: %s:", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, " " __VA_ARGS__);                                            \
      std::fputc('\n', stderr);                                                         \
      std::abort();                                                                     \
    }                                                                                   \
  } while (false)
