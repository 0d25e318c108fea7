//! `inspect`: what is inside of a disk.

use std::fmt::Write;
use std::process::ExitCode;

use diskport::inspect::{Component, Inspection, StorageDriver, Unmet, Windows, inspect};
use diskport::partition::{DiskVolume, FileSystem, Scheme};
use serde::Serialize;

use crate::args::Inspect;
use crate::console::{self, say};
use crate::failure::Failure;
use crate::size::show;

#[derive(Serialize)]
struct Report<'a> {
    firmware: Option<&'static str>,
    scheme: &'static str,
    windows: Vec<WindowsRow<'a>>,
    encrypted: Vec<EncryptedRow>,
    /// This and what follows is of the first Windows.
    software: Vec<SoftwareRow<'a>>,
    vda: Option<ComponentRow<'a>>,
    pvs_target: Option<ComponentRow<'a>>,
    storage_drivers: Vec<DriverRow<'a>>,
    free_bytes: u64,
    /// Of page, swap and hibernation files.
    paging_bytes: u64,
    volumes: Vec<VolumeRow<'a>>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct WindowsRow<'a> {
    partition: Option<u32>,
    root: &'a str,
    product: Option<&'a str>,
    edition: Option<&'a str>,
    /// `10.0.19045`, and `22H2`.
    version: Option<&'a str>,
    display_version: Option<&'a str>,
    build: Option<u32>,
    revision: Option<u32>,
    architecture: Option<&'a str>,
    install_type: Option<&'a str>,
    state: Option<&'static str>,
    boot_authority: Option<&'a str>,
    page_files: Vec<PageFileRow<'a>>,
}

#[derive(Serialize)]
struct PageFileRow<'a> {
    path: &'a str,
    size: Option<u64>,
}

#[derive(Serialize)]
struct EncryptedRow {
    partition: Option<u32>,
    start: u64,
    kind: &'static str,
}

#[derive(Serialize)]
struct SoftwareRow<'a> {
    name: &'a str,
    version: Option<&'a str>,
    publisher: Option<&'a str>,
}

#[derive(Serialize)]
struct ComponentRow<'a> {
    version: Option<String>,
    sources: Vec<SourceRow<'a>>,
}

#[derive(Serialize)]
struct SourceRow<'a> {
    kind: &'static str,
    place: &'a str,
    version: Option<String>,
}

#[derive(Serialize)]
struct DriverRow<'a> {
    name: &'a str,
    start: Option<&'static str>,
    present: bool,
    hindrance: Option<&'a str>,
}

#[derive(Serialize)]
struct VolumeRow<'a> {
    partition: Option<u32>,
    start: u64,
    size: u64,
    file_system: Option<&'static str>,
    free_bytes: Option<u64>,
    paging_bytes: u64,
    note: Option<&'a str>,
}

pub fn run(args: &Inspect) -> Result<ExitCode, Failure> {
    let disk = args.image.open()?;
    let found = inspect(&disk)?;
    let report = Report::new(&found);
    if args.json {
        console::print_json(&report)?;
    } else {
        console::print(&text(&report))?;
    }
    let unmet: Vec<Unmet> = args.require.iter().filter_map(|rule| rule.check(&found).err()).collect();
    unmet.iter().for_each(|unmet| say(&format!("diskport: {unmet}")));
    Ok(ExitCode::from(u8::from(!unmet.is_empty())))
}

impl<'a> Report<'a> {
    fn new(found: &'a Inspection) -> Self {
        let first = found.windows.first();
        let mut warnings = found.warnings.clone();
        if let Some(first) = first.filter(|_| found.windows.len() > 1) {
            warnings.push(format!(
                "there are {} Windows: software, components and drivers are told of {} of {}",
                found.windows.len(),
                first.root,
                first.volume.name()
            ));
        }
        let software = first.into_iter().flat_map(|first| &first.software).filter(|entry| !entry.hidden);
        let drivers = first.into_iter().flat_map(|first| &first.storage_drivers);
        Self {
            firmware: found.firmware.map(|firmware| firmware.name()),
            scheme: match found.scheme {
                Some(Scheme::Mbr { .. }) => "mbr",
                Some(Scheme::Gpt { .. }) => "gpt",
                None => "none",
            },
            windows: found.windows.iter().map(windows_row).collect(),
            encrypted: found.encrypted.iter().map(encrypted_row).collect(),
            software: software
                .map(|entry| SoftwareRow {
                    name: &entry.name,
                    version: entry.version.as_deref(),
                    publisher: entry.publisher.as_deref(),
                })
                .collect(),
            vda: first.and_then(|first| first.vda.as_ref()).map(component_row),
            pvs_target: first.and_then(|first| first.pvs_target.as_ref()).map(component_row),
            storage_drivers: drivers.map(driver_row).collect(),
            free_bytes: found.space.free_bytes(),
            paging_bytes: found.space.paging_bytes(),
            volumes: found
                .space
                .volumes
                .iter()
                .map(|space| VolumeRow {
                    partition: space.volume.partition,
                    start: space.volume.range.start,
                    size: space.volume.range.end - space.volume.range.start,
                    file_system: space.volume.file_system.map(FileSystem::name),
                    free_bytes: space.free,
                    paging_bytes: space.paging,
                    note: space.note.as_deref(),
                })
                .collect(),
            warnings,
        }
    }
}

fn windows_row(windows: &Windows) -> WindowsRow<'_> {
    let version = &windows.version;
    WindowsRow {
        partition: windows.volume.partition,
        root: &windows.root,
        product: version.product_name.as_deref(),
        edition: version.edition.as_deref(),
        version: version.number.as_deref(),
        display_version: version.display_version.as_deref(),
        build: version.build,
        revision: version.update_build_revision,
        architecture: version.architecture.as_deref(),
        install_type: version.install_type.as_deref(),
        state: windows.state.map(|state| state.name()),
        boot_authority: windows.boot_authority.as_deref(),
        page_files: windows
            .page_files
            .iter()
            .map(|file| PageFileRow { path: &file.path, size: file.size })
            .collect(),
    }
}

fn encrypted_row(volume: &DiskVolume) -> EncryptedRow {
    let kind = volume.file_system.map_or("", FileSystem::name);
    EncryptedRow { partition: volume.partition, start: volume.range.start, kind }
}

fn component_row(component: &Component) -> ComponentRow<'_> {
    let sources = component.sources.iter().map(|source| SourceRow {
        kind: source.kind.name(),
        place: &source.place,
        version: source.version.as_ref().map(ToString::to_string),
    });
    ComponentRow { version: component.version.as_ref().map(ToString::to_string), sources: sources.collect() }
}

fn driver_row(driver: &StorageDriver) -> DriverRow<'_> {
    DriverRow {
        name: &driver.name,
        start: driver.start.map(|start| start.name()),
        present: driver.present,
        hindrance: driver.hindrance.as_deref(),
    }
}

/// The same for people.
fn text(report: &Report<'_>) -> String {
    let mut out =
        format!("firmware: {}, partition table: {}\n", report.firmware.unwrap_or("none"), report.scheme);
    // Writing into a string does not fail.
    for windows in &report.windows {
        let place = windows.partition.map_or("the disk".to_owned(), |number| format!("partition {number}"));
        let unknown = "unknown";
        let _ = writeln!(
            out,
            "{} {}, version {}, build {}.{}, {}, {}: {} on {place}, {}",
            windows.product.unwrap_or("Windows"),
            windows.display_version.unwrap_or_default(),
            windows.version.unwrap_or(unknown),
            windows.build.map_or(unknown.to_owned(), |build| build.to_string()),
            windows.revision.unwrap_or(0),
            windows.architecture.unwrap_or(unknown),
            windows.install_type.unwrap_or(unknown),
            windows.root,
            windows.state.unwrap_or(unknown),
        );
        if let Some(authority) = windows.boot_authority {
            let _ = writeln!(out, "  boot manager signed by {authority}");
        }
        for file in &windows.page_files {
            let size = file.size.map_or("not there".to_owned(), show);
            let _ = writeln!(out, "  page file {}: {size}", file.path);
        }
    }
    for volume in &report.encrypted {
        let _ = writeln!(out, "encrypted by {}: the volume at byte {}", volume.kind, volume.start);
    }
    for (name, component) in [("VDA", &report.vda), ("PVS target device", &report.pvs_target)] {
        if let Some(component) = component {
            let _ = writeln!(
                out,
                "{name}: {}",
                component.version.as_deref().unwrap_or("of a version that is not known")
            );
            for source in &component.sources {
                let version = source.version.as_deref().unwrap_or("-");
                let _ = writeln!(out, "  {version:<20} {}: {}", source.kind, source.place);
            }
        }
    }
    for driver in &report.storage_drivers {
        let start = driver.start.unwrap_or("-");
        let hindrance = driver.hindrance.map_or(String::new(), |hindrance| format!(": {hindrance}"));
        let _ = writeln!(out, "driver {:<12} {start:<9}{hindrance}", driver.name);
    }
    for entry in &report.software {
        let _ = write!(out, "installed: {}", entry.name);
        for more in [entry.version, entry.publisher].into_iter().flatten() {
            let _ = write!(out, ", {more}");
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "free: {}, page and swap files: {}",
        show(report.free_bytes),
        show(report.paging_bytes)
    );
    for warning in &report.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}
