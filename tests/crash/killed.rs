//! The command line, killed at every call that changes a file, or having it fail: then `--resume` ends the work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use diskport::MIB;

use crate::common::tools::{Trouble, tool};
use crate::expected::pattern;

const PROGRAM: &str = env!("CARGO_BIN_EXE_diskport");
/// The calls.
const CALLS: &str = "pwrite64,write,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2";
/// What is done to one of them.
const FAULTS: [&str; 4] = ["signal=SIGKILL", "error=ENOSPC", "error=EFBIG", "error=EIO"];
/// The outputs, with what makes them.
const OUTPUTS: [(&str, &[&str]); 6] = [
    ("raw", &["out.raw"]),
    ("VHD", &["out.vhd"]),
    ("VHDX", &["out.vhdx", "--block-size", "1M"]),
    ("monolithicSparse", &["out.vmdk"]),
    ("streamOptimized", &["out.vmdk", "--subformat", "streamOptimized"]),
    ("monolithicFlat", &["out.vmdk", "--subformat", "monolithicFlat"]),
];

/// With a checkpoint after each batch.
const RESUME: [&str; 3] = ["--resume", "--checkpoint-interval", "64K"];

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Interrupts each output at each call, and at random; how often there was something to go on with.
pub fn check() -> Result<usize, Trouble> {
    let mut source = pattern(1, 0, (5 * MIB) as usize);
    source[MIB as usize..][..(MIB / 2) as usize].fill(0);
    let mut resumed = 0;
    for (name, arguments) in OUTPUTS {
        let whole = {
            let folder = Folder::new(&source)?;
            folder.succeed(folder.convert(arguments).arg("--no-sync"))?;
            folder.files()?
        };
        let place = |what: String| move |failure| Trouble::from(format!("{name}, {what}: {failure}"));
        for fault in FAULTS {
            for number in 1.. {
                let folder = Folder::new(&source)?;
                let inject = format!("inject={CALLS}:{fault}:when={number}");
                let mut strace = tool("strace")?;
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]).args([
                    &format!("trace={CALLS}"),
                    "-e",
                    &inject,
                ]);
                let convert = folder.convert(arguments);
                strace.arg(PROGRAM).args(convert.get_args()).args(RESUME).current_dir(folder.path());
                let output = strace.output()?;
                if output.status.success() {
                    // Only messages can fail without a word.
                    if folder.files()? != whole {
                        return Err(
                            format!("{name}, {fault} at call {number}: is done, and is not whole").into()
                        );
                    }
                    if number > 12 {
                        break;
                    }
                    continue;
                }
                resumed +=
                    folder.go_on(arguments, &whole).map_err(place(format!("{fault} at call {number}")))?;
            }
        }
        for moment in (20..400).step_by(45) {
            let folder = Folder::new(&source)?;
            let mut convert = folder.convert(arguments);
            let mut running =
                convert.args(RESUME).args(["--rate-limit", "16M"]).stderr(Stdio::null()).spawn()?;
            std::thread::sleep(Duration::from_millis(moment));
            running.kill()?;
            if !running.wait()?.success() {
                resumed +=
                    folder.go_on(arguments, &whole).map_err(place(format!("killed after {moment} ms")))?;
            }
        }
    }
    Ok(resumed)
}

/// A folder with a source.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(source: &[u8]) -> Result<Self, Trouble> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        std::fs::write(folder.path().join("source.raw"), source)?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn convert(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.path()).args(["convert", "source.raw"]).args(arguments);
        command.args(["--seed", "7", "--progress", "none"]);
        command
    }

    fn succeed(&self, command: &mut Command) -> Result<Output, String> {
        let output = command.output().map_err(|e| e.to_string())?;
        match output.status.success() {
            true => Ok(output),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn files(&self) -> Result<Files, String> {
        let read = || -> std::io::Result<Files> {
            let entries = std::fs::read_dir(self.path())?.collect::<Result<Vec<_>, _>>()?;
            let read = |entry: std::fs::DirEntry| {
                Ok((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?))
            };
            entries.into_iter().map(read).collect()
        };
        read().map_err(|e| e.to_string())
    }

    /// Looks at what is left, and goes on; 1 when there was something to go on with.
    fn go_on(&self, arguments: &[&str], whole: &Files) -> Result<usize, String> {
        let left = self.files()?;
        let image = arguments[0];
        let mut convert = self.convert(arguments);
        convert.args(RESUME).arg("--json");
        for (name, bytes) in &left {
            let is_hidden = name.starts_with(".out") && name.contains(".diskport-");
            // What has its name is whole, and an extent may have it before its image.
            if !is_hidden && whole.get(name) != Some(bytes) {
                return Err(format!("left {name}"));
            }
        }
        if left.contains_key(image) && left.iter().all(|(name, _)| !name.contains("diskport-partial")) {
            return Ok(0);
        }
        if whole.keys().any(|name| name != "source.raw" && left.contains_key(name)) {
            convert.arg("--overwrite");
        }
        let output = self.succeed(&mut convert)?;
        if self.files()? != *whole {
            return Err(format!("goes on to something else, from {:?}", left.keys()));
        }
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        Ok(usize::from(report["resumed_at"].is_u64()))
    }
}
