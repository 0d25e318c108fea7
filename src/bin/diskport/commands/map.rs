//! `map`: the extents of the virtual disk.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use diskport::disk::MappingKind;
use diskport::{Disk, Extent};
use serde::Serialize;

use crate::args::Map;
use crate::failure::Failure;

#[derive(Serialize)]
struct Row<'a> {
    start: u64,
    length: u64,
    kind: &'static str,
    depth: u32,
    file: Option<&'a str>,
    offset: Option<u64>,
    compressed: bool,
}

pub fn run(args: &Map) -> Result<ExitCode, Failure> {
    let disk = args.image.open()?;
    let mut out = BufWriter::new(io::stdout().lock());
    if !args.json {
        writeln!(out, "{:>16} {:>16}  {:<6} {:>5}  FILE", "START", "LENGTH", "KIND", "DEPTH")?;
    }
    let mut separator = "[\n";
    let mut extents = disk.extents(..);
    let mut next = extents.next().transpose()?;
    while let Some(mut extent) = next {
        // A long run comes in parts.
        let after = loop {
            match extents.next() {
                Some(Ok(part)) if extent.join(&part) => {}
                after => break after,
            }
        };
        let row = row(&disk, &extent);
        if args.json {
            // Streamed: a map may have more rows than memory holds.
            out.write_all(separator.as_bytes())?;
            serde_json::to_writer(&mut out, &row)?;
            separator = ",\n";
        } else {
            write!(out, "{:>16} {:>16}  {:<6} {:>5}", row.start, row.length, row.kind, row.depth)?;
            if let (Some(file), Some(offset)) = (row.file, row.offset) {
                let compressed = if row.compressed { ", compressed" } else { "" };
                write!(out, "  {file} at {offset}{compressed}")?;
            }
            writeln!(out)?;
        }
        next = after.transpose()?;
    }
    if args.json {
        out.write_all(if separator == "[\n" { b"[]\n" } else { b"\n]\n" })?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn row<'a>(disk: &'a Disk, extent: &Extent) -> Row<'a> {
    let (kind, offset, compressed) = match extent.kind {
        MappingKind::Stored { offset, .. } => ("data", Some(offset), false),
        MappingKind::Packed(packed) => ("data", Some(packed.offset), true),
        MappingKind::Zero => ("zero", None, false),
        MappingKind::Absent => ("absent", None, false),
    };
    let file = disk.file_of(extent).map(|file| file.name());
    Row { start: extent.start, length: extent.len, kind, depth: extent.depth, file, offset, compressed }
}
