//! What is compressed: files of the Rust toolchain in use, which every developer has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a grain.
pub const GRAIN: usize = 64 << 10;
/// Files begin at multiples of this, as on a disk.
const BLOCK: usize = 4 << 10;

/// So many bytes, of grains from all of the toolchain.
pub fn of_the_toolchain(bytes: usize) -> Vec<u8> {
    let root = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc").stdout;
    let root = String::from_utf8(root).expect("a path");
    let mut files = Vec::new();
    for part in ["bin", "lib", "libexec"] {
        list(&Path::new(root.trim()).join(part), &mut files);
    }
    let mut all = Vec::new();
    for file in files {
        all.extend(fs::read(file).expect("reads"));
        all.resize(all.len().next_multiple_of(BLOCK), 0);
    }
    let step = (all.len() / bytes).max(1);
    all.chunks_exact(GRAIN).step_by(step).take(bytes / GRAIN).flatten().copied().collect()
}

/// The files below a folder, always in the same order.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        match path.symlink_metadata().expect("metadata") {
            found if found.is_dir() => list(&path, files),
            found if found.is_file() => files.push(path),
            _ => {}
        }
    }
}
