//! `diskport convert`, to every kind of output that it writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;

use crate::common::digest;
use crate::reader::{self, Finish, Reader};
use crate::source::Source;
use crate::{Trouble, trial};

/// Format and kind.
const OUTPUTS: [(&str, &str); 10] = [
    ("vmdk", "streamOptimized"),
    ("vmdk", "monolithicSparse"),
    ("vmdk", "monolithicFlat"),
    ("vmdk", "twoGbMaxExtentSparse"),
    ("vmdk", "twoGbMaxExtentFlat"),
    ("vmdk", "vmfs"),
    ("vhd", "fixed"),
    ("vhd", "dynamic"),
    ("vhdx", "fixed"),
    ("vhdx", "dynamic"),
];

/// The program under test.
pub fn diskport() -> Command {
    Command::new(env!("CARGO_BIN_EXE_diskport"))
}

pub fn trials(source: Source, folder: &Path) -> Vec<Trial> {
    let source = Arc::new(source);
    let mut trials = Vec::new();
    for (format, subformat) in OUTPUTS {
        let output = Arc::new(Output::new(source.clone(), format, subformat, folder));
        for reader in Reader::ALL.into_iter().filter(|reader| reader.reads(format, &source)) {
            let output = output.clone();
            trials.push(trial(
                format!("{} to {subformat} {format}, read by {}", source.name, reader.name()),
                move || {
                    let image = output.written()?;
                    let scratch = image.with_extension(format!("{}.raw", reader.name()));
                    same(&reader.digest(format, &image, &scratch)?, &output.source.digest)
                },
            ));
        }
    }
    let (stream, raw) = (source.clone(), source.clone());
    trials.push(trial(format!("{} to standard output, read forward only", source.name), move || {
        piped(&stream)
    }));
    let folder = folder.to_owned();
    trials.push(trial(format!("{} to raw", source.name), move || to_raw(&raw, &folder)));
    trials
}

/// An output, written when the first trial asks for it.
struct Output {
    source: Arc<Source>,
    format: &'static str,
    subformat: &'static str,
    /// In a folder of its own, since it may be more than one file.
    path: PathBuf,
    written: OnceLock<Result<(), String>>,
}

impl Output {
    fn new(source: Arc<Source>, format: &'static str, subformat: &'static str, folder: &Path) -> Self {
        let folder = folder.join(format!("{}-{subformat}-{format}", flat(&source.name)));
        let path = folder.join(format!("disk.{format}"));
        Self { source, format, subformat, path, written: OnceLock::new() }
    }

    fn written(&self) -> Result<PathBuf, Trouble> {
        let written = self.written.get_or_init(|| {
            std::fs::create_dir(self.path.with_file_name("")).map_err(|e| e.to_string())?;
            let mut command = diskport();
            command.arg("convert").args([&self.source.path, &self.path]);
            reader::run(command.args(["--format", self.format, "--subformat", self.subformat]))
        });
        written.clone()?;
        Ok(self.path.clone())
    }
}

/// From our standard output straight into a reader that cannot seek.
fn piped(source: &Source) -> Result<(), Trouble> {
    let mut reader = reader::stream_reader()?;
    let mut writer = diskport()
        .arg("convert")
        .arg(&source.path)
        .args(["-", "--format", "vmdk", "--subformat", "streamOptimized"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = writer.stdout.take().ok_or("no standard output")?;
    let digest = reader.stdin(output).first_line();
    let done = writer.wait_with_output()?;
    if !done.status.success() {
        return Err(format!("diskport: {}: {}", done.status, String::from_utf8_lossy(&done.stderr)).into());
    }
    same(&digest?, &source.digest)
}

fn to_raw(source: &Source, folder: &Path) -> Result<(), Trouble> {
    let path = folder.join(format!("{}.raw", flat(&source.name)));
    reader::run(diskport().arg("convert").args([&source.path, &path]).args(["--format", "raw"]))?;
    same(&digest::of_file(&path)?, &source.digest)
}

fn same(found: &str, expected: &str) -> Result<(), Trouble> {
    if found == expected { Ok(()) } else { Err(format!("content {found}, expected {expected}").into()) }
}

fn flat(name: &str) -> String {
    name.replace('/', "-")
}
