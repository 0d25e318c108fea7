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
    if args.free {
        return super::free::list(&disk, args.json);
    }
    let mut rows = Rows { out: BufWriter::new(io::stdout().lock()), json: args.json, count: 0 };
    match rows.print(&disk) {
        Err(failure) if args.json && rows.count > 0 => {
            Err(failure.end(&mut rows.out, ",\n{\"error\":", "}\n]"))
        }
        printed => printed.map(|()| ExitCode::SUCCESS),
    }
}

/// Rows as they are printed: a map may have more of them than memory holds.
struct Rows<W> {
    out: W,
    json: bool,
    count: u64,
}

impl<W: Write> Rows<W> {
    fn print(&mut self, disk: &Disk) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "{:>16} {:>16}  {:<6} {:>5}  FILE", "START", "LENGTH", "KIND", "DEPTH")?;
        }
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
            self.add(&row(disk, &extent))?;
            next = after.transpose()?;
        }
        if self.json {
            self.out.write_all(if self.count == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        Ok(self.out.flush()?)
    }

    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if self.json {
            self.out.write_all(if self.count == 0 { b"[\n" } else { b",\n" })?;
            serde_json::to_writer(&mut self.out, row)?;
        } else {
            write!(self.out, "{:>16} {:>16}  {:<6} {:>5}", row.start, row.length, row.kind, row.depth)?;
            if let (Some(file), Some(offset)) = (row.file, row.offset) {
                let compressed = if row.compressed { ", compressed" } else { "" };
                write!(self.out, "  {file} at {offset}{compressed}")?;
            }
            writeln!(self.out)?;
        }
        self.count += 1;
        Ok(())
    }
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
