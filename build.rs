//! Link arguments of the shared library; nothing is generated or probed here.

fn main() {
    // The number is the ABI's: `st_abi_version` and `ST_ABI_VERSION`.
    let arguments: &[&str] = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // macOS does not unload a library that has thread-local variables.
        Ok("macos") => &["-Wl,-install_name,@rpath/libst_secrets.0.dylib"],
        // Unloading would leave thread-exit and fork handlers behind that lead nowhere.
        _ => &["-Wl,-soname,libst_secrets.so.0", "-Wl,-z,nodelete", "-Wl,-z,relro,-z,now"],
    };
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
