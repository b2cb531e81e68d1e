# For presets that need clang: the one that scripts/setup installs, under whatever name this Debian gives it.
find_program(MR_CLANG NAMES clang-14 clang-19 clang REQUIRED)
set(CMAKE_C_COMPILER ${MR_CLANG})
