//! `info`: what an image is.

use std::fmt::Write;
use std::process::ExitCode;

use diskport::disk::{Layer, Linkage, Warning};
use diskport::storage::Shown;
use diskport::storage::{FileRole, ImageFile};
use diskport::{Disk, Error};
use serde::Serialize;

use crate::args::Info;
use crate::console;
use crate::failure::Failure;
use crate::size::show;

#[derive(Serialize)]
struct Report {
    format: &'static str,
    subformat: &'static str,
    virtual_size: u64,
    file_size: u64,
    allocated_size: u64,
    logical_sector_size: u32,
    physical_sector_size: u32,
    block_size: Option<u64>,
    id: Option<String>,
    data_id: Option<String>,
    creator: Option<String>,
    parent: Option<Parent>,
    chain: Vec<ChainLink>,
    dirty_log: bool,
    files: Vec<File>,
    warnings: Vec<String>,
    /// The same, in parts.
    oddities: Vec<Oddity>,
}

#[derive(Serialize)]
struct Parent {
    /// As the image records it.
    path: Option<String>,
    id: Option<String>,
    /// The file that was found, if one was and may be used.
    resolved: Option<String>,
}

#[derive(Serialize)]
struct ChainLink {
    path: String,
    format: &'static str,
    subformat: &'static str,
    virtual_size: u64,
    id: Option<String>,
    data_id: Option<String>,
}

#[derive(Serialize)]
struct File {
    path: String,
    role: &'static str,
    size: u64,
}

/// A warning; what keeps the content from being read is one, too.
#[derive(Serialize)]
struct Oddity {
    kind: &'static str,
    file: Option<String>,
    message: String,
}

pub fn run(args: &Info) -> Result<ExitCode, Failure> {
    let image = &args.image;
    let disk = image.options.options(image.format).allow_missing_parent(true).open(&image.path)?;
    let Some(report) = report(&disk) else { return Ok(ExitCode::SUCCESS) };
    if args.json {
        console::print_json(&report)?;
    } else {
        console::print(&text(&report, &image.path.shown()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(disk: &Disk) -> Option<Report> {
    let top = disk.chain().first()?;
    let info = top.info();
    let mut warnings: Vec<_> = disk.warnings().map(ToString::to_string).collect();
    warnings.extend(disk.incomplete().map(ToString::to_string));
    let mut oddities: Vec<_> = disk.warnings().map(oddity).collect();
    oddities.extend(disk.incomplete().map(|problem| unreadable(disk, problem)));
    Some(Report {
        format: info.format.name(),
        subformat: info.subformat,
        virtual_size: info.size,
        file_size: top.files().iter().map(ImageFile::size).sum(),
        allocated_size: top.files().iter().map(|f| f.storage().allocated().unwrap_or(f.size())).sum(),
        logical_sector_size: info.logical_sector_size,
        physical_sector_size: info.physical_sector_size,
        block_size: info.block_size,
        id: info.id.map(|id| id.to_string()),
        data_id: info.data_id.map(|id| id.to_string()),
        creator: info.creator.clone(),
        parent: info.parent.as_ref().map(|parent| Parent {
            path: parent.names.first().cloned(),
            id: match &parent.linkage {
                Linkage::None => None,
                linkage => linkage.accepted().first().map(ToString::to_string),
            },
            resolved: disk.chain().get(1).map(|layer| name(&**layer)),
        }),
        chain: disk.chain().iter().map(|layer| link(&**layer)).collect(),
        dirty_log: info.dirty_log,
        files: files(disk),
        warnings,
        oddities,
    })
}

fn oddity(warning: &Warning) -> Oddity {
    let message = format!("{}: {}", warning.structure, warning.message);
    Oddity { kind: warning.kind.name(), file: warning.file.clone(), message }
}

/// Why the parents below the last layer that was opened are not there.
fn unreadable(disk: &Disk, problem: &Error) -> Oddity {
    let file = disk.chain().last().map(|layer| name(&**layer));
    Oddity { kind: "unreadable", file, message: problem.to_string() }
}

fn link(layer: &dyn Layer) -> ChainLink {
    let info = layer.info();
    ChainLink {
        path: name(layer),
        format: info.format.name(),
        subformat: info.subformat,
        virtual_size: info.size,
        id: info.id.map(|id| id.to_string()),
        data_id: info.data_id.map(|id| id.to_string()),
    }
}

/// The layer's own file comes first.
fn name(layer: &dyn Layer) -> String {
    layer.files().first().map(|file| file.name().to_owned()).unwrap_or_default()
}

fn files(disk: &Disk) -> Vec<File> {
    let mut files = Vec::new();
    for (depth, layer) in disk.chain().iter().enumerate() {
        for file in layer.files() {
            let role = match file.role() {
                FileRole::Image if depth == 0 => "image",
                FileRole::Image => "parent",
                FileRole::Extent => "extent",
                _ => continue,
            };
            files.push(File { path: file.name().to_owned(), role, size: file.size() });
        }
    }
    files
}

fn text(report: &Report, image: &str) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing into a string does not fail.
        let _ = writeln!(out, "{:<16}{value}", format!("{key}:"));
    };
    line("image", image);
    line("format", &format!("{} {}", report.format, report.subformat));
    line("virtual size", &show(report.virtual_size));
    line("file size", &show(report.file_size));
    line("allocated", &show(report.allocated_size));
    line(
        "sectors",
        &format!("{} logical, {} physical", report.logical_sector_size, report.physical_sector_size),
    );
    let optional = [
        ("block size", report.block_size.map(show)),
        ("id", report.id.clone()),
        ("data id", report.data_id.clone()),
        ("creator", report.creator.clone()),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            line(key, &value);
        }
    }
    if let Some(parent) = &report.parent {
        line("parent", parent.path.as_deref().unwrap_or("(no name recorded)"));
        if let Some(id) = &parent.id {
            line("parent id", id);
        }
        line("parent found", parent.resolved.as_deref().unwrap_or("no"));
    }
    if report.chain.len() > 1 {
        for (depth, layer) in report.chain.iter().enumerate() {
            line(
                &format!("layer {depth}"),
                &format!("{} ({} {})", layer.path, layer.format, layer.subformat),
            );
        }
    }
    if report.dirty_log {
        line("log", "dirty; replayed in memory");
    }
    for warning in &report.warnings {
        line("warning", warning);
    }
    out
}
