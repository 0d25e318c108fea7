//! `write`: bytes of the virtual disk, from standard input.

use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use diskport::storage::Shown;
use diskport::{Error, MIB, WritableDisk};

use crate::args::Write;
use crate::console::{self, say};
use crate::failure::Failure;
use crate::signals;
use crate::size::show;

pub fn run(args: &Write) -> Result<ExitCode, Failure> {
    let disk = args.change.open()?;
    let (written, what) = match (args.zeroes, args.discard) {
        (Some(len), _) => (disk.write_zeroes(args.offset, len).map(|()| len), "made zeros"),
        (None, Some(len)) => (disk.discard(args.offset, len).map(|()| len), "discarded"),
        (None, None) => (write(&disk, args.offset), "written"),
    };
    // The image is closed properly whatever happened.
    let closed = disk.close();
    let len = written?;
    closed?;
    let image = args.change.image.path.shown();
    console::tell(
        args.json,
        &format!("{image}: {} {what}, from offset {} on", show(len), args.offset),
        &serde_json::json!({ "image": image.to_string(), "offset": args.offset, "length": len, "done": what }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Writes standard input, and gives how many bytes it had.
fn write(disk: &WritableDisk, mut at: u64) -> Result<u64, Error> {
    let start = at;
    let written = write_input(disk, &mut at).inspect_err(|_| {
        if at > start {
            say(&format!("diskport: {} bytes were written, from offset {start} on", at - start));
        }
    });
    written.map(|()| at - start)
}

fn write_input(disk: &WritableDisk, at: &mut u64) -> Result<(), Error> {
    if let Some(len) = console::input_len().filter(|&len| len > disk.size().saturating_sub(*at)) {
        return Err(Error::OutOfRange { offset: *at, len, size: disk.size() });
    }
    let job = signals::job();
    let pieces = console::input(MIB as usize);
    while !job.is_cancelled() {
        match pieces.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(piece)) => {
                disk.write_at(&piece, *at)?;
                *at += piece.len() as u64;
            }
            Ok(Err(error)) => {
                return Err(Error::Io { operation: "read", file: "standard input".to_owned(), error });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    Err(Error::Cancelled)
}
