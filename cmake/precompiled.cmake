# Headers of other projects, parsed once instead of once a file: most of a file's compile time is its includes.
#
#   core   the standard library and absl's status and strings: every library, also the pure cores
#   edge   core, threads, clocks, files and gRPC: what faces the world
#   test   core and GoogleTest
#
# Not the parser of flags (CLI11) nor of JSON (nlohmann): what they instantiate is paid by every file that sees them,
# precompiled or not: 3 seconds and 1. Only headers of other projects, and those that nearly every user of a set
# includes itself: a source still includes what it uses, and CMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds everything
# without them (a test of the includes). A file with instruction-set flags of its own takes none
# (SKIP_PRECOMPILE_HEADERS, kernels/CMakeLists.txt).
set(core_headers
    <algorithm> <array> <bit> <cmath> <cstdint> <cstring> <deque> <functional> <limits> <map> <memory> <optional> <set>
    <span> <string> <string_view> <tuple> <utility> <variant> <vector>
    <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/strings/str_cat.h>
    <absl/strings/str_format.h> <absl/strings/str_join.h>)
set(edge_headers
    <atomic> <chrono> <condition_variable> <filesystem> <fstream> <mutex> <sstream> <thread> <grpcpp/grpcpp.h>)
set(test_headers <gmock/gmock.h> <gtest/gtest.h>)

# All or none: the flag defines a macro, and a precompiled header is refused where a macro differs.
add_compile_options(-pthread)
# GCC keeps the name of a precompiled header in preprocessed text only when told to; ccache needs it.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()

function(conclave_precompiled name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LINKS" ${ARGN})
  set(source ${CMAKE_BINARY_DIR}/generated/precompiled_${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Carries the precompiled headers of cmake/precompiled.cmake.\n")
  add_library(conclave_precompiled_${name} OBJECT ${source})
  target_link_libraries(conclave_precompiled_${name} PRIVATE ${ARG_LINKS})
  target_precompile_headers(conclave_precompiled_${name} PRIVATE ${ARG_HEADERS})
endfunction()

conclave_precompiled(core HEADERS ${core_headers} LINKS absl::flat_hash_map absl::statusor absl::str_format)
conclave_precompiled(edge HEADERS ${core_headers} ${edge_headers} LINKS gRPC::grpc++)
conclave_precompiled(test HEADERS ${core_headers} ${test_headers} LINKS absl::statusor GTest::gtest GTest::gmock)

# conclave_use_precompiled(TARGET core|edge|test|none)
function(conclave_use_precompiled target set)
  if(NOT set STREQUAL none)
    target_precompile_headers(${target} REUSE_FROM conclave_precompiled_${set})
  endif()
endfunction()
