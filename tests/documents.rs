//! The Rust examples of the documents: each of them is one of the functions here, line by line.

use std::path::{Path, PathBuf};
use std::process::Command;

#[rustfmt::skip]
fn readme() -> st_secrets::Result<()> {
    let secrets = st_secrets::Manager::open(&st_secrets::Config::new())?;
    let token = secrets.get("HF_TOKEN")?;
    println!("{} bytes from provider {}", token.value().len(), token.provider());
    Ok(())
}

/// Runs in a process of its own, with the environment that the test below gives it.
#[test]
#[ignore = "run by examples_of_the_readme_run"]
fn readme_in_a_process() {
    readme().unwrap();
}

#[test]
fn examples_of_the_readme_run() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "readme_in_a_process"])
        .env_clear()
        .env("HOME", home.path())
        .env("HF_TOKEN", "hf_example")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("10 bytes from provider env"), "{printed}");
}

#[test]
fn every_rust_example_is_one_of_those_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents: Vec<PathBuf> =
        std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.push(root.join("README.md"));
    let trimmed = |text: &str| text.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
    let here = trimmed(include_str!("documents.rs"));
    let mut count = 0;
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        for block in text.split("```rust\n").skip(1) {
            let block = block.split("```").next().unwrap();
            assert!(here.contains(&trimmed(block)), "{}: this example is not tested:\n{block}", path.display());
            count += 1;
        }
    }
    assert!(count > 0);
}
