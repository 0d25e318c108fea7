//! A folder of a test's own, and the program run in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub const DONE: i32 = 0;
pub const DIFFER: i32 = 1;
pub const USAGE: i32 = 2;
pub const REFUSED: i32 = 3;
pub const IO: i32 = 4;
pub const PRECONDITION: i32 = 5;

pub fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/small.vhdx")
}

/// A folder of the test's own, and the program run in it.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("room for a file");
        path
    }

    /// Runs `diskport` and demands this exit code.
    #[track_caller]
    pub fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_diskport"))
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .expect("diskport runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", error_text(&output));
        output
    }

    /// The same with `input` on standard input.
    #[track_caller]
    pub fn feed(&self, arguments: &[&str], input: &[u8], code: i32) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
        command.args(arguments).current_dir(self.0.path());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("diskport runs");
        // A program that fails early does not read all of it.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", error_text(&output));
        output
    }

    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments, DONE);
        serde_json::from_slice(&output.stdout).expect("one JSON document on standard output")
    }

    /// The names of the files in the folder.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    }

    /// A small raw disk, which is a source that any version can read.
    pub fn raw(&self, name: &str) -> PathBuf {
        let content: Vec<u8> = (0..256 * 1024_u32).flat_map(u32::to_le_bytes).collect();
        self.file(name, &content)
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

pub fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a line of the POSIX shell with our program as `$0`, in the place's folder.
#[cfg(unix)]
pub fn shell(place: &Place, line: &str) -> Option<i32> {
    let mut shell = Command::new("sh");
    shell.args(["-c", line, env!("CARGO_BIN_EXE_diskport")]).current_dir(place.0.path());
    shell.status().expect("sh runs").code()
}
