//! Link arguments of the shared library; nothing is generated or probed here.

fn main() {
    // The number is the ABI's: `st_abi_version` and `ST_ABI_VERSION`.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libst_secrets.so.0");
    // Unloading would leave thread-exit and fork handlers behind that lead nowhere.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
    println!("cargo::rerun-if-changed=build.rs");
}
