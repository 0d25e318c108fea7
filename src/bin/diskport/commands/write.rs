//! `write`: bytes of the virtual disk, from standard input.

use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use diskport::{Error, MIB, WritableDisk};

use crate::args::Write;
use crate::console::{self, say};
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Write) -> Result<ExitCode, Failure> {
    let disk = args.change.open()?;
    let written = match (args.zeroes, args.discard) {
        (Some(len), _) => disk.write_zeroes(args.offset, len),
        (None, Some(len)) => disk.discard(args.offset, len),
        (None, None) => write(&disk, args.offset),
    };
    // The image is closed properly whatever happened.
    let closed = disk.close();
    written.and(closed)?;
    Ok(ExitCode::SUCCESS)
}

fn write(disk: &WritableDisk, mut at: u64) -> Result<(), Error> {
    let start = at;
    write_input(disk, &mut at).inspect_err(|_| {
        if at > start {
            say(&format!("diskport: {} bytes were written, from offset {start} on", at - start));
        }
    })
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
