# What a caller's HEADERS is when it names none.
macro(conclave_headers_default set)
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS ${set})
  endif()
endmacro()

# conclave_library(NAME SOURCES a.cc ... LINKS targets... [HEADERS core|edge|none])
#   A folder's static library, `conclave_NAME`. LINKS is the layer table in executable form: tidy
#   compares it with what the files include. HEADERS names the precompiled headers (precompiled.cmake; default core).
function(conclave_library name)
  cmake_parse_arguments(ARG "" "HEADERS" "SOURCES;LINKS" ${ARGN})
  conclave_headers_default(core)
  if(ARG_SOURCES)
    add_library(conclave_${name} STATIC ${ARG_SOURCES})
    target_include_directories(conclave_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_compile_options(conclave_${name} PRIVATE ${CONCLAVE_WARNINGS})
    target_link_libraries(conclave_${name} PUBLIC ${ARG_LINKS})
    conclave_use_precompiled(conclave_${name} ${ARG_HEADERS})
  else()
    add_library(conclave_${name} INTERFACE)
    target_include_directories(conclave_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(conclave_${name} INTERFACE ${ARG_LINKS})
  endif()
endfunction()

# conclave_program(NAME SOURCES ... LINKS ... [HEADERS core|edge|none]): an executable in build/bin/.
function(conclave_program name)
  cmake_parse_arguments(ARG "" "HEADERS" "SOURCES;LINKS" ${ARGN})
  conclave_headers_default(core)
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${CONCLAVE_WARNINGS})
  conclave_use_precompiled(${name} ${ARG_HEADERS})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS})
endfunction()

# conclave_test(NAME SOURCES ... LINKS ... [LABELS ...] [TIMEOUT seconds] [HEADERS test|edge]): a GoogleTest
#   program, one ctest entry.
function(conclave_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;HEADERS" "SOURCES;LINKS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  conclave_headers_default(test)
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_options(${name} PRIVATE ${CONCLAVE_WARNINGS})
  target_compile_definitions(${name} PRIVATE CONCLAVE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             CONCLAVE_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} GTest::gtest GTest::gmock GTest::gtest_main)
  conclave_use_precompiled(${name} ${ARG_HEADERS})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
