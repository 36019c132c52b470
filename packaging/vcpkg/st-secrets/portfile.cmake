# Builds the library with cargo: `vcpkg install st-secrets --overlay-ports=packaging/vcpkg`. There is no release yet,
# from which vcpkg could take the sources: VCPKG_ST_SECRETS_SOURCE is their root.
if(NOT DEFINED ENV{VCPKG_ST_SECRETS_SOURCE})
  message(FATAL_ERROR "VCPKG_ST_SECRETS_SOURCE is not set: there is no release of st-secrets yet, so set it to the root of "
    "its sources, and VCPKG_KEEP_ENV_VARS to VCPKG_ST_SECRETS_SOURCE")
endif()
set(SOURCE_PATH "$ENV{VCPKG_ST_SECRETS_SOURCE}")
set(names_x64 x86_64)
set(names_arm64 aarch64)
cmake_host_system_information(RESULT host QUERY OS_PLATFORM)
if(NOT host STREQUAL names_${VCPKG_TARGET_ARCHITECTURE})
  message(FATAL_ERROR "st-secrets is built for the machine that builds, which is ${host}: see make TARGET=…")
endif()
# cargo builds it in one way.
set(VCPKG_BUILD_TYPE release)
set(VCPKG_POLICY_MISMATCHED_NUMBER_OF_BINARIES enabled)

find_program(CARGO cargo HINTS $ENV{HOME}/.cargo/bin)
if(NOT CARGO)
  message(FATAL_ERROR "cargo is missing, which builds st-secrets: install Rust from https://rustup.rs")
endif()
find_program(MAKE NAMES gmake make REQUIRED)
vcpkg_execute_required_process(
  COMMAND "${CMAKE_COMMAND}" -E env --unset=MAKEFLAGS --unset=MAKELEVEL "${MAKE}" --no-print-directory install-library
    "CARGO=${CARGO}" PREFIX=/ "DESTDIR=${CURRENT_PACKAGES_DIR}"
  WORKING_DIRECTORY "${SOURCE_PATH}"
  LOGNAME "install-${TARGET_TRIPLET}")

set(config "${CURRENT_PACKAGES_DIR}/lib/cmake/st_secrets/st_secretsConfig.cmake")
if(VCPKG_LIBRARY_LINKAGE STREQUAL "static")
  file(GLOB unused "${CURRENT_PACKAGES_DIR}/lib/libst_secrets.so*")
  vcpkg_replace_string("${config}" "DEFINED BUILD_SHARED_LIBS AND NOT BUILD_SHARED_LIBS" "TRUE")
else()
  set(unused "${CURRENT_PACKAGES_DIR}/lib/libst_secrets.a")
endif()
file(REMOVE ${unused})
# The way from the file to the prefix, after vcpkg_cmake_config_fixup has moved it to share.
vcpkg_replace_string("${config}" "/../../..\" ABSOLUTE" "/../..\" ABSOLUTE")
vcpkg_cmake_config_fixup(PACKAGE_NAME st_secrets CONFIG_PATH lib/cmake/st_secrets)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/licenses")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_execute_required_process(
  COMMAND python3 packaging/third_party.py licenses "${CURRENT_BUILDTREES_DIR}/THIRD-PARTY.txt" --features wiping-allocator
  WORKING_DIRECTORY "${SOURCE_PATH}"
  LOGNAME "licenses-${TARGET_TRIPLET}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE-MIT" "${SOURCE_PATH}/LICENSE-APACHE"
  "${CURRENT_BUILDTREES_DIR}/THIRD-PARTY.txt")
