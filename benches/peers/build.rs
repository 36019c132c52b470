//! Exports the function with which `--growth` simulates processors, so that the library under measurement finds it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=sched_getaffinity");
}
