//! `diff`: the ranges in which two images differ.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use diskport::Data;
use diskport::compare::Differences;
use serde::Serialize;

use crate::args::{Compare, ProgressMode};
use crate::console::Watch;
use crate::failure::Failure;
use crate::signals;

/// A range that differs: what the second image holds there.
#[derive(Serialize)]
struct Row {
    start: u64,
    length: u64,
    kind: &'static str,
}

pub fn run(args: &Compare, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let (a, b) = args.open()?;
    let job = signals::job();
    let _watch = Watch::start(mode, job.progress());
    // Streamed: there may be more ranges than memory holds.
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        write!(out, "{{\"sizes\": [{}, {}], \"ranges\": [", a.size(), b.size())?;
    } else {
        writeln!(out, "{:>16} {:>16}  KIND", "START", "LENGTH")?;
    }
    let mut ranges = Ranges { out, json: args.json, open: None, count: 0 };
    let mut add_all = || {
        for block in Differences::between(&a, &b).job(&job) {
            let block = block?;
            let kind = if matches!(block.data, Data::Bytes(_)) { "data" } else { "zero" };
            ranges.add(Row { start: block.offset, length: block.len(), kind })?;
        }
        ranges.flush()
    };
    if let Err(failure) = add_all() {
        return Err(if args.json { failure.end(&mut ranges.out, "], \"error\": ", "}") } else { failure });
    }
    let Ranges { mut out, count, .. } = ranges;
    let identical = count == 0 && a.size() == b.size();
    if args.json {
        writeln!(out, "], \"identical\": {identical}}}")?;
    } else if a.size() != b.size() {
        writeln!(out, "The images differ in size: {} and {} bytes.", a.size(), b.size())?;
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(!identical)))
}

/// Prints ranges, those that lie together as one.
struct Ranges<W> {
    out: W,
    json: bool,
    open: Option<Row>,
    count: u64,
}

impl<W: Write> Ranges<W> {
    fn add(&mut self, row: Row) -> Result<(), Failure> {
        match &mut self.open {
            Some(open) if open.kind == row.kind && open.start + open.length == row.start => {
                open.length += row.length;
            }
            _ => {
                self.flush()?;
                self.open = Some(row);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let Some(row) = self.open.take() else { return Ok(()) };
        if self.json {
            self.out.write_all(if self.count == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut self.out, &row)?;
        } else {
            writeln!(self.out, "{:>16} {:>16}  {}", row.start, row.length, row.kind)?;
        }
        self.count += 1;
        Ok(())
    }
}
