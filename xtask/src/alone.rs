//! `cargo xtask alone`: each crate packaged, built and tested outside the workspace.
//!
//! The packages are unpacked under `target/alone`, and each is tested there with only the other
//! packages beside it. The machines are also built into a static library that brings a panic
//! handler of its own: if any of them, or anything they stand on, linked std, the two handlers
//! would clash and the build would fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, check, output, root};

/// The crates that must do without std.
const NO_STD: &[&str] =
    &["types", "ports", "bolt3", "wire", "monitor", "claims", "payments", "reload"];

/// The crates that are packaged, each after those it stands on.
const CRATES: &[&str] = &[
    "types", "ports", "testkit", "bolt3", "wire", "regtest", "monitor", "claims", "payments",
    "reload", "store", "chain", "engine", "sim", "cli",
];

/// Runs it, for the named crates or for all.
pub(crate) fn run(only: &[String]) -> Result<(), String> {
    let folder = root().join("target").join("alone");
    let packages = unpack(&folder)?;
    let mut count = 0;
    for name in CRATES {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("alone: {name}");
        let manifest = packages.join(format!("lastword-{name}-{}", version(name)?));
        let mut command = cargo_alone(&["test", "--quiet"], &folder, &packages)?;
        check(command.arg("--manifest-path").arg(manifest.join("Cargo.toml")))?;
        count += 1;
    }
    println!("alone: without std: {}", NO_STD.join(", "));
    no_std(&folder, &packages)?;
    println!("alone: a log written elsewhere, against the conformance suite");
    scratch(&folder, &packages)?;
    println!("alone: {count} crates built and tested alone, {} without std", NO_STD.len());
    Ok(())
}

/// Packages every crate and unpacks the packages side by side.
fn unpack(folder: &Path) -> Result<PathBuf, String> {
    let packages = folder.join("packages");
    if packages.exists() {
        fs::remove_dir_all(&packages).map_err(|error| format!("alone: {error}"))?;
    }
    fs::create_dir_all(&packages).map_err(|error| format!("alone: {error}"))?;
    let mut command = cargo(&["package", "--quiet", "--no-verify", "--allow-dirty"]);
    for name in CRATES {
        command.arg("--package").arg(format!("lastword-{name}"));
    }
    check(&mut command)?;
    for name in CRATES {
        let file = format!("lastword-{name}-{}.crate", version(name)?);
        let path = root().join("target").join("package").join(file);
        check(Command::new("tar").arg("-xzf").arg(path).arg("-C").arg(&packages))?;
    }
    Ok(packages)
}

fn version(name: &str) -> Result<String, String> {
    let package = format!("lastword-{name}");
    let id = output(&mut cargo(&["pkgid", "--package", &package]))?;
    // The id ends with `#version` or with `@version`.
    let version = id.trim().rsplit(['#', '@']).next();
    version.map(str::to_owned).ok_or_else(|| format!("alone: {package} has no version"))
}

/// Returns cargo with the packages in the place of what a registry would have.
fn cargo_alone(arguments: &[&str], folder: &Path, packages: &Path) -> Result<Command, String> {
    let mut command = cargo(arguments);
    command.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    for name in CRATES {
        let place = packages.join(format!("lastword-{name}-{}", version(name)?));
        let place = place.display().to_string();
        command.arg("--config").arg(format!("patch.crates-io.lastword-{name}.path={place:?}"));
    }
    Ok(command)
}

/// Builds a crate of somebody who implements a port, outside the workspace, and runs its
/// conformance suite: the extension tutorial, as its reader would do it.
fn scratch(folder: &Path, packages: &Path) -> Result<(), String> {
    let scratch = folder.join("scratch");
    fs::create_dir_all(scratch.join("src")).map_err(|error| format!("alone: {error}"))?;
    let testkit = packages.join(format!("lastword-testkit-{}", version("testkit")?));
    let tutorial = testkit.join("examples").join("custom_log.rs");
    fs::copy(tutorial, scratch.join("src/main.rs")).map_err(|error| format!("alone: {error}"))?;
    let mut manifest = String::from(
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [workspace]\n[dependencies]\n",
    );
    for name in ["types", "ports", "testkit"] {
        manifest.extend(["lastword-", name, " = \"", &version(name)?, "\"\n"]);
    }
    fs::write(scratch.join("Cargo.toml"), manifest).map_err(|error| format!("alone: {error}"))?;
    let mut command = cargo_alone(&["run", "--quiet"], folder, packages)?;
    check(command.arg("--manifest-path").arg(scratch.join("Cargo.toml")))
}

/// Builds the machines into a library without std.
fn no_std(folder: &Path, packages: &Path) -> Result<(), String> {
    let probe = folder.join("no-std");
    fs::create_dir_all(probe.join("src")).map_err(|error| format!("alone: {error}"))?;
    let mut manifest = String::from(
        "[package]\nname = \"no-std\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [workspace]\n[lib]\ncrate-type = [\"staticlib\"]\n\
         [profile.dev]\npanic = \"abort\"\n[dependencies]\n",
    );
    let mut source = String::from(
        "//! Links the machines with a panic handler and an allocator of its own.\n\
         #![no_std]\nuse core::alloc::{GlobalAlloc, Layout};\nstruct None;\n\
         unsafe impl GlobalAlloc for None {\n\
         unsafe fn alloc(&self, _: Layout) -> *mut u8 { core::ptr::null_mut() }\n\
         unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}\n}\n\
         #[global_allocator]\nstatic NONE: None = None;\n\
         #[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }\n",
    );
    for name in NO_STD {
        let version = version(name)?;
        let dependency = ["lastword-", name, " = { version = \"", &version];
        manifest.extend(dependency);
        manifest.push_str("\", default-features = false }\n");
        source.extend(["pub use lastword_", name, " as _", name, ";\n"]);
    }
    fs::write(probe.join("Cargo.toml"), manifest).map_err(|error| format!("alone: {error}"))?;
    fs::write(probe.join("src/lib.rs"), source).map_err(|error| format!("alone: {error}"))?;
    let mut command = cargo_alone(&["build", "--quiet"], folder, packages)?;
    check(command.arg("--manifest-path").arg(probe.join("Cargo.toml")))
}
