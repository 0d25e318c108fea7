//! `partitions`: what a disk is divided into.

use std::fmt::Write;
use std::process::ExitCode;

use diskport::Disk;
use diskport::partition::{FileSystem, Layout, Partition, Scheme};
use serde::Serialize;

use crate::args::Partitions;
use crate::console;
use crate::failure::Failure;

#[derive(Serialize)]
struct Report {
    scheme: &'static str,
    disk_id: Option<String>,
    /// What the disk as a whole holds, where it has no partitions.
    file_system: Option<&'static str>,
    partitions: Vec<Row>,
    warnings: Vec<String>,
}

/// One partition.
#[derive(Serialize)]
pub struct Row {
    index: u32,
    #[serde(rename = "type")]
    kind: String,
    type_name: Option<&'static str>,
    start: u64,
    size: u64,
    id: Option<String>,
    name: Option<String>,
    attributes: u64,
    active: bool,
    file_system: Option<&'static str>,
}

pub fn run(args: &Partitions) -> Result<ExitCode, Failure> {
    let disk = args.image.open()?;
    let layout = Layout::read(&disk)?;
    let is_divided = layout.as_ref().is_some_and(|layout| !layout.partitions.is_empty());
    let file_system = if is_divided { None } else { FileSystem::of(&disk)?.map(FileSystem::name) };
    let report = match layout {
        None => {
            let (partitions, warnings) = (Vec::new(), Vec::new());
            Report { scheme: "none", disk_id: None, file_system, partitions, warnings }
        }
        Some(layout) => Report {
            scheme: match layout.scheme {
                Scheme::Mbr { .. } => "mbr",
                Scheme::Gpt { .. } => "gpt",
            },
            disk_id: Some(disk_id(&layout)),
            file_system,
            partitions: rows(&layout, &disk)?,
            warnings: layout.warnings.iter().map(ToString::to_string).collect(),
        },
    };
    if args.json {
        console::print_json(&report)?
    } else {
        console::print(&text(&report))?
    }
    Ok(ExitCode::SUCCESS)
}

/// The disk's identity: the signature of an MBR, the GUID of a GPT.
pub fn disk_id(layout: &Layout) -> String {
    match layout.scheme {
        Scheme::Mbr { signature } => format!("{signature:#010x}"),
        Scheme::Gpt { id, .. } => id.to_string(),
    }
}

/// The partitions of `layout`, with the file systems that `disk` has in their places.
pub fn rows(layout: &Layout, disk: &Disk) -> Result<Vec<Row>, Failure> {
    let row = |partition: &Partition| {
        Ok(Row {
            index: partition.index,
            kind: partition.kind.to_string(),
            type_name: partition.kind.name(),
            start: partition.start,
            size: partition.size,
            id: partition.id.map(|id| id.to_string()),
            name: partition.id.map(|_| partition.name.clone()),
            attributes: partition.attributes,
            active: partition.active,
            file_system: partition.file_system(disk)?.map(|found| found.name()),
        })
    };
    layout.partitions.iter().map(row).collect()
}

/// The partition in a line for people.
pub fn line(row: &Row) -> String {
    let mut line = format!(
        "{:>3}  {:>15}  {:>15}  {:<9}  {}",
        row.index,
        row.start,
        row.size,
        row.file_system.unwrap_or("-"),
        row.type_name.unwrap_or(&row.kind)
    );
    if row.active {
        line.push_str(", active");
    }
    if row.attributes != 0 {
        // Writing into a string does not fail.
        let _ = write!(line, ", attributes {:#x}", row.attributes);
    }
    if let Some(id) = &row.id {
        let _ = write!(line, ", {id}");
    }
    line
}

fn text(report: &Report) -> String {
    let mut out = match &report.disk_id {
        None => "no partition table\n".to_owned(),
        Some(id) => format!("{} {id}\n", report.scheme),
    };
    if let Some(found) = report.file_system {
        let _ = writeln!(out, "the disk as a whole is a volume that holds {found}");
    }
    if !report.partitions.is_empty() {
        let _ = writeln!(out, "{:>3}  {:>15}  {:>15}  {:<9}  type", "#", "start", "size", "holds");
    }
    for row in &report.partitions {
        let _ = writeln!(out, "{}", line(row));
    }
    for warning in &report.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}
