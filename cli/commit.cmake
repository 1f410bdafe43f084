# Writes OUT, a header with this build's version, when it changed. Run at each build.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --exclude=* OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT
"#define CONCLAVE_VERSION \"${VERSION}\"
#define CONCLAVE_COMMIT \"${commit}\"
#define CONCLAVE_BUILD \"${BUILD}\"
")
