//! The committed header matches the sources, and so does the list of exported functions.

use std::fs;
use std::path::{Path, PathBuf};

use st_secrets::Status;

/// The sources of the header, in its order.
const SOURCES: [&str; 19] = [
    "status",
    "library",
    "bytes",
    "config",
    "callback",
    "secrets",
    "secrets_admin",
    "secrets_changes",
    "cache",
    "cache_builtin",
    "cache_load",
    "cache_function_key",
    "encryption",
    "store",
    "store_hardware",
    "store_credential",
    "store_audit",
    "store_backup",
    "redact",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Writes the constants of the statuses, which come from a macro that cbindgen does not expand.
fn status_constants() -> PathBuf {
    let constant = |status: Status| {
        let comment: String = status.documentation().lines().map(|line| format!("///{line}\n")).collect();
        format!("{comment}pub const {}: st_status = {};\n", status.name(), status as i32)
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status_constants.rs");
    fs::write(&path, Status::ALL.map(constant).concat()).unwrap();
    path
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config).with_src(status_constants());
    let builder =
        SOURCES.iter().fold(builder, |builder, name| builder.with_src(root().join(format!("src/ffi/{name}.rs"))));
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

/// Returns the names of the functions that a C header declares.
fn declared(header: &str) -> Vec<String> {
    let code: String = header.lines().filter(|line| !line.trim_start().starts_with('*')).collect::<Vec<_>>().join("\n");
    let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut names: Vec<String> = code
        .match_indices("st_")
        .filter(|(at, _)| !code[..*at].ends_with(is_of_name))
        .filter_map(|(at, _)| {
            let rest = &code[at..];
            let (name, after) = rest.split_at(rest.find(|c: char| !is_of_name(c)).unwrap_or(0));
            after.starts_with('(').then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn the_header_is_up_to_date() {
    let path = root().join("include/st_secrets.h");
    let generated = generated();
    if std::env::var_os("ST_SECRETS_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "include/st_secrets.h is out of date; run: make header");
}

#[test]
fn every_exported_function_is_in_the_header_and_in_the_list() {
    let list = fs::read_to_string(root().join("packaging/exports.txt")).unwrap();
    let list: Vec<&str> = list.lines().collect();
    let header = declared(&fs::read_to_string(root().join("include/st_secrets.h")).unwrap());
    assert_eq!(header, list, "packaging/exports.txt and include/st_secrets.h differ");
    let mut files: Vec<String> = fs::read_dir(root().join("src/ffi"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !["mod", "sized", "test_panic"].contains(&&**name))
        .collect();
    files.sort();
    let mut sources = SOURCES;
    sources.sort();
    assert_eq!(files, sources, "SOURCES omits a file of src/ffi");
    // cbindgen silently skips what it does not understand.
    for name in SOURCES {
        let source = fs::read_to_string(root().join(format!("src/ffi/{name}.rs"))).unwrap();
        for part in source.split("#[unsafe(no_mangle)]").skip(1) {
            let name = part.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            assert!(list.contains(&name), "{name} is not in packaging/exports.txt");
        }
    }
}

#[test]
fn the_versions_agree() {
    let header = fs::read_to_string(root().join("include/st_secrets.h")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(header.contains(&format!("#define ST_VERSION \"{version}\"")));
    assert!(header.contains(&format!("#define ST_VERSION_NUMBER {}", st_secrets::ffi::st_version_number())));
    assert!(header.contains(&format!("#define ST_ABI_VERSION {}\n", st_secrets::ffi::st_abi_version())));
    let build = fs::read_to_string(root().join("build.rs")).unwrap();
    assert!(build.contains(&format!("libst_secrets.so.{}", st_secrets::ffi::st_abi_version())));
}
