//! `cat`: the content of a file inside a disk.

use std::io::{self, Write};
use std::process::ExitCode;

use diskport::MIB;
use diskport::windows::files::{FilePath, Node};

use crate::args::Cat;
use crate::failure::Failure;

pub fn run(args: &Cat) -> Result<ExitCode, Failure> {
    let (_, volume) = args.volume.open()?;
    write(&Node::at(&volume, &args.file.file())?, &args.file)
}

/// Writes the content that a path means to standard output.
pub fn write(node: &Node<'_>, path: &FilePath) -> Result<ExitCode, Failure> {
    let data = node.content(path.stream())?;
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; data.size().min(MIB) as usize];
    let mut at = 0;
    while at < data.size() {
        let piece = &mut buffer[..(data.size() - at).min(MIB) as usize];
        data.read_at(piece, at)?;
        out.write_all(piece)?;
        at += piece.len() as u64;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
