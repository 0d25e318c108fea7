//! The command line, killed at every call that changes a file, or having it fail: then `--resume` ends the work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diskport::MIB;

use crate::common::campaign::Campaign;
use crate::common::tools::{Trouble, tool};
use crate::expected::pattern;
use crate::parallel::parallel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_diskport");
/// The calls.
const CALLS: &str = "pwrite64,write,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2";
/// What is done to one of them.
const FAULTS: [&str; 4] = ["signal=SIGKILL", "error=ENOSPC", "error=EFBIG", "error=EIO"];
/// Calls of a conversion from which on none is met: the last of them change messages alone.
const CALLS_AT_MOST: usize = 12;
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
    tool("strace")?;
    let mut source = pattern(1, 0, (5 * MIB) as usize);
    source[MIB as usize..][..(MIB / 2) as usize].fill(0);
    let resumed = AtomicUsize::new(0);
    let ways = FAULTS.map(Way::Fault).into_iter().chain((20..400).step_by(45).map(Way::Kill));
    let cases = OUTPUTS.iter().flat_map(|output| ways.clone().map(move |way| (output, way))).collect();
    let name = |((name, _), way): &(&(&str, &[&str]), Way)| format!("killed {name} {way:?}");
    let cases = Campaign::from_environment().draw(cases, name);
    parallel(&cases, |case @ ((_, arguments), way)| {
        let count = interrupt(&source, arguments, way).map_err(|e| format!("{}: {e}", name(case)))?;
        resumed.fetch_add(count, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(resumed.into_inner())
}

/// What interrupts conversions.
#[derive(Clone, Debug)]
enum Way {
    /// A fault at each call in turn.
    Fault(&'static str),
    /// A signal after so many milliseconds.
    Kill(u64),
}

fn interrupt(source: &[u8], arguments: &[&str], way: &Way) -> Result<usize, String> {
    let mut resumed = 0;
    let whole = {
        let folder = Folder::new(source)?;
        folder.succeed(folder.convert(arguments).arg("--no-sync"))?;
        folder.files()?
    };
    match way {
        Way::Fault(fault) => {
            for number in 1.. {
                let what = format!("{fault} at call {number}");
                let folder = Folder::new(source)?;
                let inject = format!("inject={CALLS}:{fault}:when={number}");
                let mut strace = tool("strace").map_err(|missing| missing.0)?;
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}"), "-e", &inject]);
                let convert = folder.convert(arguments);
                strace.arg(PROGRAM).args(convert.get_args()).args(RESUME).current_dir(folder.path());
                if !strace.output().map_err(|e| e.to_string())?.status.success() {
                    resumed +=
                        folder.go_on(arguments, &whole).map_err(|failure| format!("{what}: {failure}"))?;
                } else if folder.files()? != whole {
                    return Err(format!("{what}: is done, and is not whole"));
                } else if number > CALLS_AT_MOST {
                    break;
                }
            }
        }
        Way::Kill(moment) => {
            let folder = Folder::new(source)?;
            let mut convert = folder.convert(arguments);
            convert.args(RESUME).args(["--rate-limit", "16M"]).stderr(Stdio::null());
            let mut running = convert.spawn().map_err(|e| e.to_string())?;
            std::thread::sleep(Duration::from_millis(*moment));
            let killed = running.kill().and_then(|()| running.wait()).map_err(|e| e.to_string())?;
            if !killed.success() {
                let went_on = folder.go_on(arguments, &whole);
                resumed += went_on.map_err(|failure| format!("killed after {moment} ms: {failure}"))?;
            }
        }
    }
    Ok(resumed)
}

/// A folder with a source.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(source: &[u8]) -> Result<Self, String> {
        let new = || -> std::io::Result<Self> {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            std::fs::write(folder.path().join("source.raw"), source)?;
            Ok(Self(folder))
        };
        new().map_err(|e| e.to_string())
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
