//! `diff --files`: the files and the values of registries in which two disks differ.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use diskport::Error;
use diskport::windows::files::{Compared, ContentDifference, Side, differences};
use serde_json::json;

use super::registry;
use crate::args::Compare;
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Compare) -> Result<ExitCode, Failure> {
    let (a, b) = args.open()?;
    // Streamed: there may be more files than memory holds.
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        write!(out, "{{\"differences\": [")?;
    }
    let mut count = 0u64;
    differences(&a, &b, &signals::job(), &mut |difference| {
        let written = match args.json {
            true => row(&mut out, &difference, count == 0),
            false => line(&mut out, &difference),
        };
        count += 1;
        written.map_err(|error| Error::Io { operation: "write", file: "standard output".to_owned(), error })
    })?;
    if args.json {
        writeln!(out, "], \"identical\": {}}}", count == 0)?;
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(count > 0)))
}

fn change<T>(a: &Option<T>, b: &Option<T>) -> &'static str {
    match (a, b) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    }
}

fn row(out: &mut impl Write, difference: &ContentDifference, is_first: bool) -> io::Result<()> {
    let side = |side: &Option<Side>| {
        side.map(|it| json!({ "kind": it.kind.name(), "size": it.size, "attributes": it.attributes }))
    };
    let value = |value: &Option<(u32, Vec<u8>)>| {
        value.as_ref().map(|(of, data)| {
            let (kind, data) = registry::shown(*of, data);
            json!({ "type": kind, "data": data })
        })
    };
    let row = match difference {
        ContentDifference::File(file) => json!({
            "what": "file",
            "change": change(&file.a, &file.b),
            "path": file.path,
            "partition": file.partition,
            "differs": parts(file),
            "a": side(&file.a),
            "b": side(&file.b),
        }),
        ContentDifference::Value(found) => match &found.name {
            Some(name) => json!({
                "what": "value",
                "change": change(&found.a, &found.b),
                "key": found.key,
                "name": name,
                "a": value(&found.a),
                "b": value(&found.b),
            }),
            None => json!({ "what": "key", "change": change(&found.a, &found.b), "key": found.key }),
        },
        _ => return Ok(()),
    };
    out.write_all(if is_first { b"\n" } else { b",\n" })?;
    serde_json::to_writer(out, &row)?;
    Ok(())
}

/// In what a file differs that both disks have.
fn parts(file: &Compared) -> Vec<&'static str> {
    let (Some(a), Some(b)) = (file.a, file.b) else { return Vec::new() };
    let parts = [
        ("kind", a.kind != b.kind),
        ("size", a.size != b.size),
        ("content", file.content),
        ("attributes", a.attributes != b.attributes),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}

fn line(out: &mut impl Write, difference: &ContentDifference) -> io::Result<()> {
    match difference {
        ContentDifference::File(file) => {
            let partition = file.partition.map(|number| format!("{number}:")).unwrap_or_default();
            let mark = mark(&file.a, &file.b);
            let parts = parts(file).join(", ");
            let parts = if parts.is_empty() { parts } else { format!("  ({parts})") };
            let path = file.path.replace(char::is_control, "\u{fffd}");
            writeln!(out, "{mark} {partition}{path}{parts}")
        }
        ContentDifference::Value(found) => {
            let mark = mark(&found.a, &found.b);
            let name =
                found.name.as_ref().map(|name| format!("  {}", if name.is_empty() { "@" } else { name }));
            let shown = |value: &Option<(u32, Vec<u8>)>| {
                value.as_ref().map_or("nothing".to_owned(), |(of, data)| {
                    let (kind, data) = registry::shown(*of, data);
                    format!("{kind} {data}")
                })
            };
            match name {
                Some(name) => {
                    writeln!(out, "{mark} {}{name}: {} -> {}", found.key, shown(&found.a), shown(&found.b))
                }
                None => writeln!(out, "{mark} {}", found.key),
            }
        }
        _ => Ok(()),
    }
}

fn mark<T>(a: &Option<T>, b: &Option<T>) -> char {
    match (a, b) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '*',
    }
}
