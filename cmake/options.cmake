# Build options. Every optional back-end is ON when found and says so at configure time.

# GCC contracts a*b+c to FMA by default, which would give one inline function two meanings.
add_compile_options(-ffp-contract=off -fno-fast-math)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")  # no NDEBUG: CHECK and assert stay on in release builds
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

set(CONCLAVE_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wswitch-enum -Werror
    -Wno-missing-field-initializers  # designated initialisers name what matters
    -Wno-maybe-uninitialized)        # g++ 12 says it of every std::variant that is moved

set(CONCLAVE_SANITIZE "" CACHE STRING "address,undefined or thread; empty for none")
if(CONCLAVE_SANITIZE)
  add_compile_options(-fsanitize=${CONCLAVE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CONCLAVE_SANITIZE})
endif()
