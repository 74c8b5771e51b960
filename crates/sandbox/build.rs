//! Builds the runner as a static binary, which this crate includes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("runner");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner/Cargo.toml");

    // A separate target directory, because the outer cargo holds the lock of the usual one.
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--profile", "runner", "--package", "runner"]);
    cargo.args(["--bin", "runner", "--target", &target, "--target-dir"]).arg(&out);
    cargo.arg("--manifest-path").arg(&manifest);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    // Wrappers that clippy or a coverage tool set for the outer build do not apply to this binary.
    for wrapper in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(wrapper);
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "the runner could not be built");

    let binary = out.join(&target).join("runner/runner");
    println!("cargo::rustc-env=RUNNER_BINARY={}", binary.display());
    for input in ["../runner/src", "../runner/Cargo.toml", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={input}");
    }
}
