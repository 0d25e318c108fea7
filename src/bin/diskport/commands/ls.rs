//! `ls`: the files of a directory inside a disk.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use diskport::windows::files::{Node, NodeKind};
use diskport::windows::ntfs::attribute;
use serde::Serialize;

use crate::args::Ls;
use crate::failure::Failure;

#[derive(Serialize)]
struct Row {
    path: String,
    kind: &'static str,
    size: u64,
    modified: String,
    attributes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    streams: Vec<Stream>,
}

#[derive(Serialize)]
struct Stream {
    name: String,
    size: u64,
}

/// Letters of attributes, in the order in which Windows' own `attrib` has them.
const LETTERS: [(u32, char); 8] = [
    (attribute::ARCHIVE, 'A'),
    (attribute::SYSTEM, 'S'),
    (attribute::HIDDEN, 'H'),
    (attribute::READ_ONLY, 'R'),
    (attribute::COMPRESSED, 'C'),
    (attribute::ENCRYPTED, 'E'),
    (attribute::SPARSE, 'P'),
    (attribute::REPARSE_POINT, 'L'),
];

pub fn run(args: &Ls) -> Result<ExitCode, Failure> {
    let (_, volume) = args.volume.open()?;
    let node = Node::at(&volume, &args.file.file())?;
    // Streamed: there may be more files than memory holds.
    let mut list = List { out: BufWriter::new(io::stdout().lock()), args, count: 0 };
    if args.json {
        write!(list.out, "[")?;
    }
    match (node.kind(), args.recursive) {
        (NodeKind::Directory, true) => node.walk()?.try_for_each(|node| list.add(&node?))?,
        (NodeKind::Directory, false) => node.children()?.try_for_each(|node| list.add(&node?))?,
        _ => list.add(&node)?,
    }
    if args.json {
        writeln!(list.out, "\n]")?;
    }
    list.out.flush()?;
    Ok(ExitCode::SUCCESS)
}

struct List<'a, W> {
    out: W,
    args: &'a Ls,
    count: u64,
}

impl<W: Write> List<'_, W> {
    fn add(&mut self, node: &Node<'_>) -> Result<(), Failure> {
        let args = self.args;
        if args.json {
            self.out.write_all(if self.count == 0 { b"\n  " } else { b",\n  " })?;
            serde_json::to_writer(&mut self.out, &row(node)?)?;
        } else {
            // Of a directory alone the names, else the way there.
            let shown = if args.recursive { node.path.to_string() } else { name(node) };
            let name = shown.replace(char::is_control, "\u{fffd}");
            if args.long {
                let letter = |(bit, letter)| if node.metadata.attributes & bit != 0 { letter } else { '-' };
                let attributes: String = LETTERS.into_iter().map(letter).collect();
                let kind = if node.kind() == NodeKind::Directory { 'd' } else { '-' };
                let (size, modified) = (node.metadata.size, node.metadata.modified);
                write!(self.out, "{kind}{attributes} {size:>14} {modified} {name}")?;
                match node.reparse.as_ref().map(|point| (&point.target, point.tag)) {
                    Some((Some(target), _)) => write!(self.out, " -> {target}")?,
                    Some((None, tag)) if node.kind() == NodeKind::Reparse => {
                        write!(self.out, " (reparse point {tag:#010x})")?;
                    }
                    _ => {}
                }
                writeln!(self.out)?;
                for (stream, size) in node.file.streams()? {
                    writeln!(self.out, "{:>24} {:20} {name}:{stream}", size, "")?;
                }
            } else {
                writeln!(self.out, "{name}")?;
            }
        }
        self.count += 1;
        Ok(())
    }
}

fn name(node: &Node<'_>) -> String {
    node.path.name().map_or_else(|| node.path.to_string(), str::to_owned)
}

fn row(node: &Node<'_>) -> Result<Row, Failure> {
    let streams = node.file.streams()?.into_iter();
    Ok(Row {
        path: node.path.to_string(),
        kind: node.kind().name(),
        size: node.metadata.size,
        modified: node.metadata.modified.to_string(),
        attributes: node.metadata.attributes,
        target: node.reparse.as_ref().and_then(|point| point.target.clone()),
        streams: streams.map(|(name, size)| Stream { name, size }).collect(),
    })
}
