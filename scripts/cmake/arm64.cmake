# Compiles for arm64 on another machine (preset arm64; scripts/arm64 does it whole). The libraries come from .deps/arm64, where
# `scripts/setup arm64` unpacks them; tests run under qemu-user where it is installed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
find_program(MR_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(MR_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${MR_QEMU} -L /usr/aarch64-linux-gnu)
endif()
