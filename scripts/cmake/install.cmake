# cmake --install build: the server, a systemd unit and a commented configuration.
install(TARGETS millrace RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
configure_file(scripts/install/millrace.service millrace.service @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/millrace.service DESTINATION lib/systemd/system)
install(FILES scripts/install/millrace.conf DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/millrace)
install(FILES README.md ARCHITECTURE.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(EXISTS ${MR_DEPS_LIB}/libyyjson.so.0)
  # Not the system's: it goes beside the server, where the server's run path finds it.
  file(GLOB yyjson_files ${MR_DEPS_LIB}/libyyjson.so.0*)
  install(FILES ${yyjson_files} DESTINATION ${CMAKE_INSTALL_LIBDIR}/millrace)
endif()
