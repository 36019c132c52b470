# How make builds with TARGET: Zig has the C compiler, the linker and the C libraries of all machines, and links against
# the glibc of Debian 10, Ubuntu 20.04 and RHEL 8, or an older one.
TARGETS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu
ifeq ($(filter $(TARGET),$(TARGETS)),)
$(error TARGET=$(TARGET) is not one of: $(TARGETS))
endif
GLIBC := 2.28
ARCH := $(word 1,$(subst -, ,$(TARGET)))
ifneq ($(ARCH),$(shell uname -m))
BINUTILS := $(ARCH)-linux-gnu-
# The program runs once, to print its man pages and completions.
EMULATOR := qemu-$(ARCH) -L /usr/$(ARCH)-linux-gnu
endif
ZIG := $(CURDIR)/build/zig/bin
# What Rust has from libgcc elsewhere, Zig has in libunwind. Compilers ignore it when they do not link.
ZIG_FLAGS := -target $(ARCH)-linux-gnu.$(GLIBC) -lunwind -Wno-unused-command-line-argument
CC := $(ZIG)/python -m ziglang cc $(ZIG_FLAGS)
CXX := $(ZIG)/python -m ziglang c++ $(ZIG_FLAGS)
CARGO_BUILD := PATH="$(ZIG):$$PATH" $(CARGO) zigbuild --target $(TARGET).$(GLIBC)

$(BUILD)/lib/libst_secrets.so.$(VERSION) $(BUILD)/st_secrets_raw.a $(BUILD)/bin/st-secrets: | zig
.PHONY: zig
zig:
	@sh packaging/zig.sh $(TARGET)
