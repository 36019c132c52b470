#!/bin/sh
# Cargo calls this for our own crate: lets a stable compiler use a nightly option, the sanitizer. In the environment of
# Cargo, RUSTC_BOOTSTRAP would make it compile half of the other crates again.
#
# usage: unstable.sh RUSTC ARGUMENT…
RUSTC_BOOTSTRAP=1 exec "$@"
