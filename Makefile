# make                 build the libraries into build/lib
# make PROVIDERS=none BUILD=build/small
#                      the same without remote providers, in build/small; see docs/linking.md
# make TARGET=aarch64-unknown-linux-gnu
#                      the same for another machine or an older glibc, in build/TARGET; see docs/linking.md
# make command         build the program st-secrets into build/bin, with man pages and completions in build/share
# make help            list what make can do
# make demo            build everything and run the example launcher, offline
# make demo-servers    the same with AWS Secrets Manager and Vault, on servers it starts
# make test            install what the tests need, run all of them, three suites side by side
# make lint            check formatting, wording and common mistakes in all languages
# make advisories      fetch RustSec's list of vulnerable crates, and compare; ADVISORY_DB=DIRECTORY is a clone of it
# make abi-record      record additions to the public interfaces in tests/abi; BREAKING=1 also records other changes
# make test-c          test one language: also -rust, -cpp, -python, -node, -go; TEST=… selects tests, see below
# make test-packages   test the Debian packages, and those of Meson, Conan and vcpkg
# make test-target     test what TARGET=… builds, with QEMU if it is another machine
# make test-fleet      start 500 processes at once against moto and OpenBao with quotas
# make soak            run the tests that take ten minutes and more
# make fuzz            run each fuzzer for SECONDS=60; FUZZER=… selects one
# make tsan            run the thread tests of the cache under ThreadSanitizer, with a nightly compiler
# make bench           measure, next to other libraries
# make install         install into PREFIX, under DESTDIR; the libraries into LIBDIR
# make install-library
#                      the same without the program
# make uninstall       remove what was installed, with the same PREFIX, LIBDIR and DESTDIR
# make dist            pack the C and C++ library into build/dist, as a tarball to unpack anywhere
# make deb             build the Debian packages into build/dist; with TARGET, for that machine and from Debian 10 on
# make wheel           build the Python package and that of the program into build/dist
# make addon           build the add-on for the Node package; with TARGET, that of another machine
# make dist-node       pack the Node package into build/dist, with all add-ons that are built
# make go-archive      put the static archive, with TARGET that of another machine, into the Go module
# make go-module       pack the Go module into build/dist/go, laid out as a module proxy
# make release         make all artefacts of the last commit twice, with bills of materials and sums, in build/release
# make docs            build the documentation as a web site, build/docs/index.html
# make header          generate include/st_secrets.h from src/ffi

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
MAJOR := $(word 1,$(subst ., ,$(VERSION)))
MINOR := $(word 2,$(subst ., ,$(VERSION)))
ABI := 0
empty :=
space := $(empty) $(empty)
STATIC_LIBS := -lutil -lrt -lpthread -lm -ldl -lc

PREFIX ?= /usr/local
# Below PREFIX, or an absolute directory in it: lib64, lib/x86_64-linux-gnu.
LIBDIR ?= lib
LIB := $(patsubst $(PREFIX)/%,%,$(LIBDIR))
# The way back from a directory below LIB.
up = $(shell echo $(LIB)/$(1) | sed 's|[^/][^/]*|..|g')
DESTDIR ?=
CC ?= cc
CARGO ?= cargo
CFLAGS ?= -O2 -g -Wall -Wextra
# The target of Rust to build for, with Zig; without it, this machine. A variable of the environment does not count.
TARGET :=
BUILD := build$(if $(TARGET),/$(TARGET))
CARGO_TARGET := target
OUTPUT_COMMAND := target/$(if $(TARGET),$(TARGET)/)release
OUTPUT := $(OUTPUT_COMMAND)
CARGO_BUILD := $(CARGO) build
SYSTEM := linux-$(shell uname -m)
ifneq ($(TARGET),)
include packaging/target.mk
endif
CARGO_BUILD_COMMAND ?= $(CARGO_BUILD)
# Which remote providers the libraries have: all, none, or some, such as PROVIDERS='aws exec'. `tier` stands for the
# cluster tier.
PROVIDERS ?= all
FEATURES := $(if $(filter all,$(PROVIDERS)),,--no-default-features) \
    --features 'wiping-allocator $(filter-out all none,$(PROVIDERS))'
CARGO_FLAGS := --release --locked
MAN := share/man/man1
COMPLETIONS := share/bash-completion/completions/st-secrets share/zsh/site-functions/_st-secrets \
    share/fish/vendor_completions.d/st-secrets.fish
SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock build.rs .cargo/config.toml

.PHONY: abi-record advisories all command help demo demo-servers test soak tsan bench install install-library uninstall header clean tools test-rust test-model test-c lint test-python wheel test-node addon go-archive dist-node dist deb test-cpp test-go test-fleet test-target go-module dist-c coverage test-packages test-build test-servers
.DELETE_ON_ERROR:

all: $(BUILD)/lib/libst_secrets.so $(BUILD)/lib/libst_secrets.a

# These need the library and the program, and build both at once: for the program alone, which has one feature more,
# Cargo would compile the library again.
ifeq ($(PROVIDERS)$(TARGET),all)
install test-build dist deb wheel addon bench soak: TOGETHER := --features command --lib --bin st-secrets
endif

# After the library, as both builds are of one package and one directory.
command: $(BUILD)/bin/st-secrets
$(BUILD)/bin/st-secrets: $(SOURCES) | all
	$(CARGO_BUILD_COMMAND) --target-dir target $(CARGO_FLAGS) --features command --bin st-secrets
	mkdir -p $(BUILD)/bin
	cp $(OUTPUT_COMMAND)/st-secrets $@.new
	$(BINUTILS)strip --strip-unneeded $@.new
	rm -rf $(BUILD)/share
	mkdir -p $(addprefix $(BUILD)/,$(MAN) $(dir $(COMPLETIONS)))
	$(EMULATOR) $@.new man $(BUILD)/$(MAN)
	$(EMULATOR) $@.new completions bash > $(BUILD)/$(word 1,$(COMPLETIONS))
	$(EMULATOR) $@.new completions zsh > $(BUILD)/$(word 2,$(COMPLETIONS))
	$(EMULATOR) $@.new completions fish > $(BUILD)/$(word 3,$(COMPLETIONS))
	mv $@.new $@

# Prints the list at the top of this file.
help:
	@sed -n '/^# make/,/^$$/s/^# //p' $(firstword $(MAKEFILE_LIST))

$(BUILD)/lib/libst_secrets.so.$(VERSION) $(BUILD)/st_secrets_raw.a &: $(SOURCES)
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	mkdir -p $(BUILD)/lib
	$(CARGO_BUILD) --target-dir $(CARGO_TARGET) $(CARGO_FLAGS) $(FEATURES) $(TOGETHER)
	cp $(OUTPUT)/libst_secrets.so $(BUILD)/lib/libst_secrets.so.$(VERSION)
	$(BINUTILS)strip --strip-unneeded $(BUILD)/lib/libst_secrets.so.$(VERSION)
	cp $(OUTPUT)/libst_secrets.a $(BUILD)/st_secrets_raw.a

$(BUILD)/lib/libst_secrets.so: $(BUILD)/lib/libst_secrets.so.$(VERSION)
	ln -sf libst_secrets.so.$(VERSION) $(BUILD)/lib/libst_secrets.so.$(ABI)
	ln -sf libst_secrets.so.$(ABI) $@

$(BUILD)/lib/libst_secrets.a: $(BUILD)/st_secrets_raw.a packaging/static-archive.sh packaging/exports.txt
	BINUTILS=$(BINUTILS) packaging/static-archive.sh $< $@ packaging/exports.txt $(UNWINDER)

$(BUILD)/launcher: examples/launcher.c include/st_secrets.h $(BUILD)/lib/libst_secrets.a
	$(CC) $(CFLAGS) -Iinclude -o $@ examples/launcher.c $(BUILD)/lib/libst_secrets.a $(STATIC_LIBS)

demo: all $(BUILD)/launcher
	@sh examples/demo.sh $(BUILD)/launcher

demo-servers: all $(BUILD)/launcher
	@sh tests/python-tools.sh
	@sh examples/servers.sh $(BUILD)/launcher

# Without the program, for package managers of libraries.
install-library: all
	@case "$(LIB)" in /*) echo "LIBDIR=$(LIBDIR) is not below PREFIX=$(PREFIX)" >&2; exit 1;; esac
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/$(LIB)/pkgconfig $(DESTDIR)$(PREFIX)/$(LIB)/cmake/st_secrets
	install -m 644 include/st_secrets.h include/st_secrets.hpp $(DESTDIR)$(PREFIX)/include/
	install -d $(DESTDIR)$(PREFIX)/include/st_secrets
	install -m 644 include/st_secrets/*.hpp $(DESTDIR)$(PREFIX)/include/st_secrets/
	install -m 755 $(BUILD)/lib/libst_secrets.so.$(VERSION) $(DESTDIR)$(PREFIX)/$(LIB)/
	ln -sf libst_secrets.so.$(VERSION) $(DESTDIR)$(PREFIX)/$(LIB)/libst_secrets.so.$(ABI)
	ln -sf libst_secrets.so.$(ABI) $(DESTDIR)$(PREFIX)/$(LIB)/libst_secrets.so
	install -m 644 $(BUILD)/lib/libst_secrets.a $(DESTDIR)$(PREFIX)/$(LIB)/
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/licenses/st-secrets LICENSE-MIT LICENSE-APACHE
	@for pair in st_secrets.pc:pkgconfig st_secretsConfig.cmake:cmake/st_secrets \
	    st_secretsConfigVersion.cmake:cmake/st_secrets; do \
	  file=$${pair%%:*}; directory=$(DESTDIR)$(PREFIX)/$(LIB)/$${pair#*:}; \
	  echo "install $$directory/$$file"; \
	  sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@ABI@|$(ABI)|g' -e 's|@MAJOR@|$(MAJOR)|g' -e 's|@MINOR@|$(MINOR)|g' \
	    -e 's|@LIBDIR@|$(LIB)|g' -e 's|@PREFIX_OF_PC@|$(call up,pkgconfig)|g' \
	    -e 's|@PREFIX_OF_CMAKE@|$(call up,cmake/st_secrets)|g' -e 's| @IMPORTED_SCOPE@||g' -e 's|@STATIC_LIBS@|$(STATIC_LIBS)|g' \
	    -e 's|@STATIC_LIBS_LIST@|$(subst $(space),;,$(STATIC_LIBS))|g' \
	    packaging/$$file.in > $$directory/$$file && chmod 644 $$directory/$$file || exit 1; \
	done

install: install-library command
	install -D -m 755 $(BUILD)/bin/st-secrets $(DESTDIR)$(PREFIX)/bin/st-secrets
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/$(MAN) $(BUILD)/$(MAN)/*.1
	@for file in $(COMPLETIONS); do \
	  echo "install $(DESTDIR)$(PREFIX)/$$file"; \
	  install -D -m 644 $(BUILD)/$$file $(DESTDIR)$(PREFIX)/$$file || exit 1; \
	done
	@[ -n "$(DESTDIR)" ] || echo "If programs do not find libst_secrets.so.$(ABI): run ldconfig as root, after adding\
	 $(PREFIX)/$(LIB) to /etc/ld.so.conf.d if it is not a directory of the system; or link with -Wl,-rpath,$(PREFIX)/$(LIB)"

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/$(LIB)/,libst_secrets.so libst_secrets.so.$(ABI) libst_secrets.so.$(VERSION) \
	  libst_secrets.a pkgconfig/st_secrets.pc)
	rm -rf $(DESTDIR)$(PREFIX)/$(LIB)/cmake/st_secrets
	rm -f $(DESTDIR)$(PREFIX)/include/st_secrets.h $(DESTDIR)$(PREFIX)/include/st_secrets.hpp
	rm -rf $(DESTDIR)$(PREFIX)/include/st_secrets $(DESTDIR)$(PREFIX)/share/licenses/st-secrets
	rm -f $(DESTDIR)$(PREFIX)/bin/st-secrets $(DESTDIR)$(PREFIX)/$(MAN)/st-secrets*.1
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,$(COMPLETIONS))

dist: all command
	sh packaging/dist.sh $(VERSION) $(BUILD)/dist $(SYSTEM) $(TARGET)

# On Debian and what is made of it.
HAS_DEB := $(shell command -v dpkg-buildpackage)
# Of what has compiled code. `make release RELEASE_TARGETS=` is a trial without them.
RELEASE_TARGETS := $(addsuffix -unknown-linux-gnu,x86_64 aarch64) $(addsuffix -unknown-linux-musl,x86_64 aarch64)
.PHONY: release
release:
	sh packaging/release.sh $(VERSION) $(RELEASE_TARGETS)

deb: all command
	@[ "$(LIBC)" != musl ] || { echo "make deb is for systems with glibc: use another TARGET" >&2; exit 1; }
	sh packaging/deb.sh $(VERSION) $(BUILD)/dist $(TARGET)

# The documents, the C reference and the Rust reference.
.PHONY: docs
docs:
	@sh docs/site/build.sh

header:
	ST_SECRETS_WRITE_HEADER=1 $(CARGO) test --locked --test header the_header_is_up_to_date -- --exact

tools:
	@sh tests/tools.sh
	@sh tests/python-tools.sh
	@sh tests/lint-tools.sh

lint:
	@sh tests/lint-tools.sh
	sh tests/lint.sh
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --features command,wiping-allocator,test-panic -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings
	set -e; for feature in aws azure exec google infisical kubernetes onepassword tier vault; do \
	    $(CARGO) clippy --locked --lib --no-default-features --features $$feature -- -D warnings; \
	done
	$(CARGO) clippy --locked --lib -- -D warnings --cfg fuzzing
	sh tests/lint/macos.sh
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

advisories:
	@sh tests/lint-tools.sh
	ADVISORY_DB='$(ADVISORY_DB)' sh tests/advisories.sh

# See CONTRIBUTING.md, "Public interfaces".
abi-record: all
	@sh tests/tools.sh
	python3 tests/abi/interface.py c --record $(if $(BREAKING),--breaking)
	python3 tests/abi/interface.py rust --record $(if $(BREAKING),--breaking)
	@sh tests/python-tools.sh
	sh bindings/python/test.sh --record $(if $(BREAKING),--breaking)
	sh bindings/node/test.sh --record $(if $(BREAKING),--breaking)
	sh bindings/go/test.sh --record $(if $(BREAKING),--breaking)

# TEST selects tests in the way of each runner, and nothing is packed or installed first:
#   make test-rust TEST=cache::             names; also arguments of cargo test: TEST='--test chain'
#   make test-c TEST=memory                 a regular expression over the names of ctest; test-cpp too
#   make test-python TEST=test_cache        arguments of unittest: TEST=test_cache.Loads, TEST='-k clear test_cache'
#                                           (test_example checks the installed wheel: it passes in the whole suite only)
#   make test-node TEST=cache               test/cache.test.js, or else a pattern over the names of tests
#   make test-go TEST=TestCache             a regular expression, as of go test -run

# Three suites, which `make test` runs beside others: Cargo runs one test binary after the other, and most of them wait
# for servers and for each other. So more tests of one run at once, too, than there are processors.
.PHONY: test-rust-units test-rust-services test-rust-local
RUST_SERVICES := $(filter-out command,$(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs)))
RUST_LOCAL := $(filter-out soak,$(patsubst tests/%.rs,%,$(wildcard tests/*.rs)))
# With the program, which one suite tests: all use the same build of the library.
RUN_TESTS := RUST_TEST_THREADS=$$((4 * $$(nproc))) $(CARGO) test --locked --features command --no-fail-fast
ifneq ($(TEST),)
test-rust:
	$(CARGO) test --locked $(TEST)
else
test-rust: test-rust-units test-rust-services test-rust-local
endif

test-rust-units:
	$(CARGO) test --locked --features command --lib --bin st-secrets --test command
	$(CARGO) test --locked --features command --doc

test-rust-services:
	$(RUN_TESTS) $(addprefix --test ,$(RUST_SERVICES))

# One test searches the core file of a C program, which loads the library that `all` builds.
test-rust-local: all
	$(RUN_TESTS) $(addprefix --test ,$(RUST_LOCAL))

# Checks every interleaving of readers and writers at the lock of a cache.
test-model:
	RUSTFLAGS="--cfg loom" $(CARGO) test --release --locked --manifest-path tests/model/Cargo.toml --target-dir $(BUILD)/model

test-c: all $(if $(TEST),,command) $(BUILD)/launcher
	sh tests/python-tools.sh
	sh tests/c/run.sh $(if $(TEST),-R '$(TEST)')

test-cpp: all
	sh tests/python-tools.sh
	sh tests/cpp/run.sh $(if $(TEST),-R '$(TEST)')

WHEEL = $(if $(TARGET),BUILD=$(BUILD) CC="$(CC)" ARCH=$(ARCH) BINUTILS=$(BINUTILS) RUST_TARGET=$(TARGET)) \
    python3 bindings/python/build.py
wheel: $(BUILD)/lib/libst_secrets.a command
	$(WHEEL) $(BUILD)/python $(BUILD)/dist
	$(WHEEL) --command $(BUILD)/dist

# As pip would install it, below PREFIX, for packages of distributions.
.PHONY: install-python
install-python: $(BUILD)/lib/libst_secrets.a
	$(WHEEL) --installed $(DESTDIR)$(PREFIX)/lib/python3/dist-packages

test-python: all $(if $(TEST),,command)
	sh tests/python-tools.sh
	sh bindings/python/test.sh $(TEST)

# Builds the add-on and the npm package (in build/dist), then runs the tests.
test-node: all $(if $(TEST),,command)
	sh tests/python-tools.sh
	sh bindings/node/test.sh $(if $(TEST),'$(TEST)')

# Puts the add-on and the program into the sources of the npm package, which has all those that are there.
addon: $(BUILD)/lib/libst_secrets.a command
	$(if $(TARGET),BUILD=$(BUILD) CC="$(CC)" ARCH=$(ARCH) RUST_TARGET=$(TARGET)) sh bindings/node/build.sh

dist-node: addon
	sh bindings/node/pack.sh

test-go: all
	sh tests/python-tools.sh
	sh bindings/go/test.sh $(if $(TEST),'$(TEST)')

test-target: all command $(BUILD)/launcher
	sh tests/target.sh "$(TARGET)" "$(ARCH)" "$(CC)" "$(CXX)" "$(EMULATOR)"

# Real processes on hosts of their own, behind a gate that counts their requests and enforces AWS's quotas.
test-fleet: all command
	sh tests/python-tools.sh
	sh tests/fleet/run.sh

# Puts the static archive into the sources of the Go module, which has all those that are there.
go-archive: $(BUILD)/lib/libst_secrets.a
	sh bindings/go/archive.sh $(BUILD) "$(TARGET)"

go-module:
	cd bindings/go && go run package.go $(VERSION) $(CURDIR)/$(BUILD)/dist/go

# The packages of other package managers, what they say of the code of others, and programs that use them.
test-packages: all command
	$(if $(HAS_DEB),$(MAKE) --no-print-directory deb)
	sh tests/packaging/run.sh

# Checks that every binding covers every function or gives a reason.
coverage:
	sh bindings/coverage.sh

# What the suites test. As one target, as two of them must not build it at once.
test-build: all command $(BUILD)/launcher

# The servers that the suites start: those of Python's packages, and Vault's plugin.
test-servers:
	sh tests/python-tools.sh
	sh tests/vault/aws_plugins/build.sh

# The longest suites first.
test:
	@sh tests/tools.sh
	@echo "not tried, as make test-target TARGET=… does that: $(foreach target,$(RELEASE_TARGETS),$(target)$(if $(wildcard \
	 $(shell rustc --print target-libdir --target $(target))),, (without a standard library; make release refuses it)))"
	@python3 tests/all.py test-build lint test-servers coverage test-model -- \
	    test-rust-services test-c test-python test-rust-local test-rust-units test-fleet test-cpp test-node test-go \
	    test-packages

# Runs the tests that take more than a few minutes.
soak: tools all command
	sh tests/fleet/run.sh --hosts 1250 --ranks 8 --timing
	$(CARGO) test --locked --test soak -- --nocapture
	$(CARGO) test --locked --test exec -- --ignored
	SLOW_UNDER_VALGRIND=ON sh tests/c/run.sh -R valgrind
	SLOW_UNDER_VALGRIND=ON sh tests/cpp/run.sh -R 'valgrind|example'
	GOEXPERIMENT=cgocheck2 sh bindings/go/test.sh .
	ST_TEST_PYTHONS=all sh bindings/python/test.sh
	ST_TEST_KILLS=2000 ST_TEST_FORKS=1000 $(CARGO) test --locked --test store_processes --test store_fork
	ST_TEST_VALUES=1000000 ST_TEST_PYTHON_VALUES=20000 ST_TEST_TEXT=1073741824 $(CARGO) test --release --locked --test redact
	ST_TEST_OPERATIONS=10000000 $(CARGO) test --release --locked --lib cache::model_tests
	ST_TEST_FENCE_READS=100000000 $(CARGO) test --release --locked --test tier -- --nocapture redis::hosts_confirm
	sh tests/fuzz.sh 60

SECONDS ?= 60
.PHONY: fuzz
fuzz:
	sh tests/fuzz.sh $(SECONDS) $(FUZZER)

# Looks for data races in the cache.
tsan:
	sh tests/tsan.sh

bench: all command $(BUILD)/launcher
	sh benches/run.sh

clean:
	rm -rf $(BUILD)
	$(CARGO) clean
