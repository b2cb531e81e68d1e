# Compiler flags shared by every target. Presets choose MR_SANITIZE and the build type.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(MR_SANITIZE "" CACHE STRING "sanitizers to build with: address,undefined or thread")
option(MR_FUZZ "build the fuzz targets with libFuzzer (clang only)" OFF)
option(MR_JEMALLOC "link jemalloc into the server" OFF)
option(MR_SLOW_CHECKS "compile whole-structure checks in" OFF)

add_library(mr_options INTERFACE)
target_compile_options(mr_options INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wvla -Werror -Wno-sign-conversion
  -Wno-missing-field-initializers -Wno-enum-float-conversion) # enumerations are this code's constants
target_compile_definitions(mr_options INTERFACE _GNU_SOURCE $<$<BOOL:${MR_SLOW_CHECKS}>:MILLRACE_SLOW_CHECKS>)
target_include_directories(mr_options INTERFACE ${PROJECT_SOURCE_DIR}/engine ${PROJECT_SOURCE_DIR}/server)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(mr_options INTERFACE -march=x86-64-v2)
endif()
if(MR_SANITIZE)
  target_compile_options(mr_options INTERFACE -fsanitize=${MR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(mr_options INTERFACE -fsanitize=${MR_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(mr_options INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
    $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection=full>
    $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},aarch64>:-mbranch-protection=standard>)
  target_link_options(mr_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
endif()

if(MR_FUZZ)
  target_compile_options(mr_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# mr_library(name SOURCES... LIBS...): one static library a folder; its link line is its layer.
function(mr_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC mr_options ${A_LIBS})
endfunction()

# mr_test(name LIBS...): tests/<here>/<name>.c, linked with the layer it tests and nothing above it.
function(mr_test name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS;ARGS" ${ARGN})
  add_executable(${name} ${name}.c ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${A_LIBS})
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
endfunction()
