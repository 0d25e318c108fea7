//! Programs of others: whether they are here, running them, and trials that need them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Completion, Failed, Trial};
use sha2::{Digest, Sha256};

use super::digest;

/// A test that could not be run, and why.
pub struct Missing(pub String);

/// Why a trial did not pass.
pub enum Trouble {
    Missing(Missing),
    Failed(Failed),
}

impl Trouble {
    /// What it is, for those who can only panic.
    pub fn reason(&self) -> &str {
        match self {
            Trouble::Missing(Missing(reason)) => reason,
            Trouble::Failed(failed) => failed.message().unwrap_or_default(),
        }
    }
}

impl From<Missing> for Trouble {
    fn from(missing: Missing) -> Self {
        Trouble::Missing(missing)
    }
}

impl<T: std::fmt::Display> From<T> for Trouble {
    fn from(failure: T) -> Self {
        Trouble::Failed(failure.into())
    }
}

/// A trial that is ignored where what it needs is missing, and fails in CI.
pub fn trial(name: String, run: impl FnOnce() -> Result<(), Trouble> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match run() {
        Ok(()) => Ok(Completion::Completed),
        Err(Trouble::Missing(Missing(reason))) if !super::ci() => Ok(Completion::ignored_with(reason)),
        Err(Trouble::Missing(Missing(reason))) => Err(reason.into()),
        Err(Trouble::Failed(failed)) => Err(failed),
    })
}

/// Writes the content of an image as a raw disk, by qemu-img.
pub fn to_raw(format: &str, image: &Path, raw: &Path) -> Result<(), Trouble> {
    let format = if format == "vhd" { "vpc" } else { format };
    Ok(run(tool("qemu-img")?.args(["convert", "-f", format, "-O", "raw"]).args([image, raw]))?)
}

/// A script of `tests` that needs `module`.
pub fn python(script: &str, module: &str) -> Result<Command, Missing> {
    let chosen = std::env::var_os("DISKPORT_PYTHON").unwrap_or("python3".into());
    // Debian's own modules are for Debian's own interpreter.
    for interpreter in [chosen, "/usr/bin/python3".into()] {
        let import = Command::new(&interpreter).args(["-c", &format!("import {module}")]).output();
        if import.is_ok_and(|done| done.status.success()) {
            let mut command = Command::new(interpreter);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script));
            return Ok(command);
        }
    }
    Err(Missing(format!("no Python here has the module {module}")))
}

/// A program on the path.
pub fn tool(name: &str) -> Result<Command, Missing> {
    match find(name.as_ref()) {
        Some(path) => Ok(Command::new(path)),
        None => Err(Missing(format!("{name} is not installed"))),
    }
}

fn find(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // sgdisk lies where only root's path leads.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a program; its standard output, or what it said when it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
    command.finish().map(|_| ())
}

/// What is done with a program's output.
pub trait Finish {
    /// The standard output; the standard error when the program fails.
    fn finish(&mut self) -> Result<Vec<u8>, String>;
    fn first_line(&mut self) -> Result<String, Trouble>;
    fn output_digest(&mut self) -> Result<String, Trouble>;
}

impl Finish for Command {
    fn finish(&mut self) -> Result<Vec<u8>, String> {
        let program = self.get_program().to_owned();
        let output = self.output().map_err(|e| format!("{}: {e}", program.display()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!("{}: {}: {}", program.display(), output.status, String::from_utf8_lossy(&output.stderr)))
    }

    fn first_line(&mut self) -> Result<String, Trouble> {
        let output = String::from_utf8(self.finish()?)?;
        Ok(output.lines().next().unwrap_or_default().to_owned())
    }

    fn output_digest(&mut self) -> Result<String, Trouble> {
        let mut child = self.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut hash = Sha256::new();
        let mut output = child.stdout.take().ok_or("no standard output")?;
        std::io::copy(&mut output, &mut hash)?;
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("{}: {status}", self.get_program().display()).into());
        }
        Ok(digest::hex(hash))
    }
}
