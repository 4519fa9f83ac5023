# rlsedit_flags: language, warnings, optimisation and sanitizers for every target of this project.
add_library(rlsedit_flags INTERFACE)
target_compile_definitions(rlsedit_flags INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
# __FILE__ from the top of the tree: messages and binaries do not depend on where it lies.
target_compile_options(rlsedit_flags INTERFACE -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_options(rlsedit_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
    $<$<BOOL:${RLSEDIT_WERROR}>:-Werror> $<$<BOOL:${RLSEDIT_NATIVE}>:-march=native>)

if(RLSEDIT_SANITIZE)
    set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
    target_compile_options(rlsedit_flags INTERFACE ${sanitize})
    target_link_options(rlsedit_flags INTERFACE ${sanitize})
endif()
if(RLSEDIT_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "RLSEDIT_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang")
    endif()
    target_compile_options(rlsedit_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(rlsedit_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
