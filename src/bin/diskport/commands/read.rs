//! `read`: bytes of the virtual disk.

use std::io::{self, Write};
use std::process::ExitCode;

use diskport::{Error, MIB};

use super::output;
use crate::args::Read;
use crate::failure::Failure;

pub fn run(args: &Read) -> Result<ExitCode, Failure> {
    if args.json {
        return Err(Failure::Usage(output::ONE_OUTPUT.to_owned()));
    }
    let disk = args.image.open()?;
    let (offset, len, size) = (args.offset, args.length, disk.size());
    // Nothing is written when not all of it is there.
    let end =
        offset.checked_add(len).filter(|&end| end <= size).ok_or(Error::OutOfRange { offset, len, size })?;
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; len.min(MIB) as usize];
    let mut at = offset;
    while at < end {
        let part = (end - at).min(MIB) as usize;
        disk.read_at(&mut buffer[..part], at)?;
        out.write_all(&buffer[..part])?;
        at += part as u64;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
