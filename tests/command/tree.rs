//! What the program needs is not in the tree of the library.

use std::process::Command;

#[test]
fn the_library_has_none_of_the_crates_of_the_program() {
    let tree = |features: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        let output = command.args(features).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (library, program) = (tree(&[]), tree(&["--features", "command"]));
    for name in [
        "anstream",
        "anstyle",
        "clap",
        "clap_complete",
        "clap_mangen",
        "comfy-table",
        "console",
        "indicatif",
        "rustix",
        "signal-hook",
    ] {
        let has = |tree: &[String]| tree.iter().any(|other| other == name);
        assert!(has(&program) && !has(&library), "{name}");
    }
}
