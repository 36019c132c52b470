# How make builds with TARGET: Zig has the C compiler, the linker and the C libraries of all machines. With glibc, it
# links against that of Debian 10, Ubuntu 20.04 and RHEL 8, or an older one. With musl, the program and programs that
# use the static archive are static.
TARGETS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl
ifeq ($(filter $(TARGET),$(TARGETS)),)
$(error TARGET=$(TARGET) is not one of: $(TARGETS))
endif
GLIBC := 2.28
ARCH := $(word 1,$(subst -, ,$(TARGET)))
LIBC := $(lastword $(subst -, ,$(TARGET)))
SYSTEM := linux-$(if $(filter musl,$(LIBC)),musl-)$(ARCH)
ifneq ($(ARCH),$(shell uname -m))
BINUTILS := $(ARCH)-linux-gnu-
# The program runs once, to print its man pages and completions.
EMULATOR := qemu-$(ARCH)$(if $(filter gnu,$(LIBC)), -L /usr/$(ARCH)-linux-gnu)
endif
ZIG := $(CURDIR)/build/zig/bin
# Compilers ignore what is for linking when they do not link.
ZIG_CC := -Wno-unused-command-line-argument
ifeq ($(LIBC),musl)
# In the archive, Rust's own unwinder. The shared library has one too, and the C library of the system.
UNWINDER := $(shell rustc --print sysroot)/lib/rustlib/$(TARGET)/lib/self-contained/libunwind.a
CC := $(ZIG)/python -m ziglang cc -target $(ARCH)-linux-musl $(ZIG_CC)
CXX := $(ZIG)/python -m ziglang c++ -target $(ARCH)-linux-musl $(ZIG_CC)
ZIGBUILD := PATH="$(ZIG):$$PATH" $(CARGO) zigbuild --target $(TARGET)
# Rust builds no shared library of what is linked with a static C library, so there is a second build for the program.
CARGO_BUILD := RUSTFLAGS="-C target-feature=-crt-static $$RUSTFLAGS" $(ZIGBUILD)
OUTPUT := target/musl-shared/$(TARGET)/release
CARGO_TARGET := target/musl-shared
CARGO_BUILD_COMMAND := $(ZIGBUILD)
else
# What Rust has from libgcc elsewhere, Zig has in libunwind.
ZIG_FLAGS := -target $(ARCH)-linux-gnu.$(GLIBC) -lunwind $(ZIG_CC)
CC := $(ZIG)/python -m ziglang cc $(ZIG_FLAGS)
CXX := $(ZIG)/python -m ziglang c++ $(ZIG_FLAGS)
CARGO_BUILD := PATH="$(ZIG):$$PATH" $(CARGO) zigbuild --target $(TARGET).$(GLIBC)
endif

$(BUILD)/lib/libst_secrets.so.$(VERSION) $(BUILD)/st_secrets_raw.a $(BUILD)/bin/st-secrets: | zig
.PHONY: zig
zig:
	@sh packaging/zig.sh $(TARGET)
