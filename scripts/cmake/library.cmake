# libmillrace as other programs link it: one static and one shared library of all engine folders, which show mr_* and nothing
# else. liburing is inside both, so that the system's version never matters. Sanitized builds have no package.
set(MR_ABI 0) # grows with every incompatible change of millrace.h
set(MR_ENGINE_PARTS mr_engine mr_stream mr_store mr_subject mr_io mr_base)

# All parts as one object: only there can names be made local.
get_target_property(uring_files dep_uring INTERFACE_LINK_LIBRARIES)
set(part_files)
foreach(part ${MR_ENGINE_PARTS})
  list(APPEND part_files $<TARGET_FILE:${part}>)
endforeach()
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  set(to_machine_code -O2 -flto=auto -flinker-output=nolto-rel)
endif()
set(whole ${CMAKE_BINARY_DIR}/libmillrace.o)
add_custom_command(OUTPUT ${whole}
  COMMAND ${CMAKE_C_COMPILER} ${to_machine_code} -r -nostdlib -o ${whole}
    -Wl,--whole-archive ${part_files} -Wl,--no-whole-archive ${uring_files}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=mr_* ${whole}
  DEPENDS ${MR_ENGINE_PARTS} ${part_files} VERBATIM)
set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)

add_library(millrace-static STATIC EXCLUDE_FROM_ALL ${whole})
add_library(millrace-shared SHARED EXCLUDE_FROM_ALL ${whole})
find_package(Threads REQUIRED)
target_link_libraries(millrace-shared PRIVATE Threads::Threads)
target_link_options(millrace-shared PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/scripts/cmake/millrace.map -Wl,-z,defs
  -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
set_target_properties(millrace-static millrace-shared PROPERTIES OUTPUT_NAME millrace LINKER_LANGUAGE C
  ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} INTERPROCEDURAL_OPTIMIZATION OFF)
set_target_properties(millrace-shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${MR_ABI} SKIP_BUILD_RPATH ON INSTALL_RPATH ""
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/scripts/cmake/millrace.map)
add_dependencies(millrace-static millrace-shared) # one of them makes the object
add_custom_target(libmillrace DEPENDS millrace-static millrace-shared)

include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)
configure_package_config_file(scripts/install/millrace-config.cmake.in millrace-config.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(millrace-config-version.cmake COMPATIBILITY SameMinorVersion)
configure_file(scripts/install/millrace.pc.in millrace.pc @ONLY)
install(TARGETS millrace-static millrace-shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(FILES engine/millrace.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/millrace.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/millrace-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/millrace-config-version.cmake
  DESTINATION ${package_dir} COMPONENT library)
install(FILES docs/embedding.md docs/durability.md engine/example.c DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT library)
