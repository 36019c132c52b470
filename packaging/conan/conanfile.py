"""The recipe of Conan 2: `conan create packaging/conan` in the root of the sources builds the library with cargo."""

import re
from pathlib import Path

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy

# Cargo.toml names tests, so cargo wants them to be there.
SOURCES = "Cargo.* Makefile build.rs LICENSE-* .cargo/* src/* include/* packaging/* tests/*.rs".split()


class StSecrets(ConanFile):
    name = "st-secrets"
    description = "Secrets for training stacks from the environment, files, AWS Secrets Manager and Vault"
    license = ("MIT", "Apache-2.0")
    url = "https://github.com/st-secrets/st-secrets"
    homepage = url
    topics = ("secrets", "vault", "aws", "cache", "encryption")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}
    default_options = {"shared": True}

    def set_version(self):
        manifest = Path(self.recipe_folder).parent.parent / "Cargo.toml"
        self.version = re.search(r'^version = "(.*)"', manifest.read_text(), re.MULTILINE)[1]

    def export_sources(self):
        root = Path(self.recipe_folder).parent.parent
        for pattern in SOURCES:
            copy(self, pattern, root, self.export_sources_folder)

    def configure(self):
        # It is C outside, whatever a program is written in.
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def layout(self):
        self.folders.root = "../.."
        self.folders.generators = "build/conan"

    def package_id(self):
        # cargo builds it, in one way.
        del self.info.settings.compiler
        del self.info.settings.build_type

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("st-secrets is for Linux: on Windows, use it inside WSL")
        if self.settings.arch != self.settings_build.arch:
            raise ConanInvalidConfiguration("st-secrets is built for the machine that builds: see make TARGET=…")

    def build(self):
        self.run("make all", cwd=self.source_folder)

    def package(self):
        source, target = Path(self.source_folder), Path(self.package_folder)
        copy(self, "st_secrets*", source / "include", target / "include")
        library = "libst_secrets.so*" if self.options.shared else "libst_secrets.a"
        copy(self, library, source / "build/lib", target / "lib")
        copy(self, "LICENSE-*", source, target / "licenses")
        third_party = target / "licenses" / "THIRD-PARTY.txt"
        self.run(f"python3 packaging/third_party.py licenses {third_party} --features wiping-allocator", cwd=source)

    def package_info(self):
        self.cpp_info.libs = ["st_secrets"]
        if not self.options.shared:
            self.cpp_info.system_libs = ["util", "rt", "pthread", "m", "dl"]
        for kind in ("cmake_file_name", "pkg_config_name"):
            self.cpp_info.set_property(kind, "st_secrets")
        self.cpp_info.set_property("cmake_target_name", "st_secrets::st_secrets")
