//! `check`: what is wrong with an image, and with what is inside.

use std::process::ExitCode;

use diskport::check::{Finding, Repairs, Severity};
use diskport::storage::Shown;
use diskport::windows::{CheckedVolume, check_contents, ntfs};
use serde::Serialize;

use crate::args::{Check, ProgressMode, say_warning};
use crate::console::{self, Watch};
use crate::failure::Failure;
use crate::signals;

#[derive(Serialize)]
struct Report<'a> {
    image: String,
    format: &'static str,
    clean: bool,
    findings: Vec<Row<'a>>,
    /// What is inside, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Vec<VolumeRow>>,
}

/// A volume that was looked into, or was not.
#[derive(Serialize)]
struct VolumeRow {
    volume: String,
    start: u64,
    size: u64,
    file_system: Option<&'static str>,
    checked: bool,
    /// Findings that are not listed, since there are many of their kind.
    unlisted: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    severity: &'static str,
    problem: String,
    file: &'a str,
    structure: &'static str,
    offset: u64,
    expected: &'a str,
    found: &'a str,
    consequence: String,
    repair: Option<Repair<'a>>,
    repaired: bool,
    #[serde(flatten)]
    inside: Option<Inside<'a>>,
}

/// Where in a volume something was found.
#[derive(Serialize)]
struct Inside<'a> {
    volume: String,
    record: Option<u64>,
    path: Option<&'a str>,
    attribute: Option<&'a str>,
}

#[derive(Serialize)]
struct Repair<'a> {
    action: &'a str,
    loses: Option<&'a str>,
}

pub fn run(args: &Check, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let image = &args.image;
    let open = image.options.options(image.format).ignore_locks(args.locks.ignore_locks);
    let open = open.job(&signals::job());
    let before = open.check(&image.path)?;
    before.warnings.iter().for_each(say_warning);
    let repairs = if args.allow_loss { Repairs::All } else { Repairs::Lossless };
    let after = if args.repair && before.findings.iter().any(|finding| finding.repair.is_some()) {
        open.repair(&image.path, repairs)?
    } else {
        before.clone()
    };
    let contents = match args.contents {
        true => contents(args, mode, &after)?,
        false => None,
    };
    let gone = before.findings.iter().filter(|finding| !after.findings.contains(finding));
    let findings_gone = gone.clone().count();
    let findings = gone.map(|finding| row(finding, true));
    let name = image.path.shown();
    let volumes = contents.as_deref();
    let whole =
        |volume: &CheckedVolume| volume.checked.as_ref().is_none_or(ntfs::check::NtfsChecked::is_clean);
    let inside = volumes.unwrap_or_default().iter().flat_map(|volume| inside_rows(volume, &name));
    let report = Report {
        image: name.clone(),
        format: after.format.name(),
        clean: after.is_clean() && volumes.is_none_or(|volumes| volumes.iter().all(whole)),
        findings: findings
            .chain(after.findings.iter().map(|finding| row(finding, false)))
            .chain(inside)
            .collect(),
        volumes: volumes.map(|volumes| volumes.iter().map(volume_row).collect()),
    };
    if args.json {
        console::print_json(&report)?;
    } else {
        console::print(&text(&report))?;
    }
    if args.repair {
        let (repaired, left) = (findings_gone, after.findings.len());
        console::report(&format!("{}: {repaired} findings repaired, {left} left", report.image));
    }
    Ok(ExitCode::from(u8::from(!report.clean)))
}

/// What is inside; nothing when the image is too damaged to be read.
fn contents(
    args: &Check,
    mode: ProgressMode,
    image: &diskport::check::Checked,
) -> Result<Option<Vec<CheckedVolume>>, Failure> {
    if image.findings.iter().any(|finding| finding.severity == Severity::Error) {
        console::say("what is inside is not looked at, since the image is damaged");
        return Ok(None);
    }
    let (disk, job) = (args.image.open()?, signals::job());
    let _watch = Watch::start(mode, job.progress());
    Ok(Some(check_contents(&disk, &job)?))
}

fn volume_row(volume: &CheckedVolume) -> VolumeRow {
    VolumeRow {
        volume: volume.name(),
        start: volume.range.start,
        size: volume.range.end - volume.range.start,
        file_system: volume.file_system.map(|found| found.name()),
        checked: volume.checked.is_some(),
        unlisted: volume.checked.as_ref().map_or(0, |checked| checked.unlisted),
    }
}

fn inside_rows<'a>(volume: &'a CheckedVolume, image: &'a str) -> impl Iterator<Item = Row<'a>> {
    let findings = volume.checked.iter().flat_map(|checked| &checked.findings);
    findings.map(|finding| Row {
        severity: finding.severity.name(),
        problem: finding.fault.name().to_owned(),
        file: image,
        structure: finding.structure,
        offset: finding.offset,
        expected: &finding.expected,
        found: &finding.found,
        consequence: finding.fault.to_string(),
        repair: None,
        repaired: false,
        inside: Some(Inside {
            volume: volume.name(),
            record: finding.record,
            path: finding.path.as_deref(),
            attribute: finding.attribute.as_deref(),
        }),
    })
}

fn row(finding: &Finding, repaired: bool) -> Row<'_> {
    let defect = &finding.defect;
    Row {
        severity: finding.severity.name(),
        problem: defect.problem.to_string(),
        file: &defect.file,
        structure: defect.structure,
        offset: defect.offset,
        expected: &defect.expected,
        found: &defect.found,
        consequence: finding.consequence.clone(),
        repair: finding
            .repair
            .as_ref()
            .map(|repair| Repair { action: &repair.action, loses: repair.loses.as_deref() }),
        repaired,
        inside: None,
    }
}

fn text(report: &Report<'_>) -> String {
    let mut lines = Vec::new();
    for row in &report.findings {
        let Row { severity, problem, file, structure, offset, expected, found, consequence, .. } = row;
        let place = row.inside.as_ref().map_or_else(String::new, place);
        lines.push(format!(
            "{severity}: {file}: {place}{structure} at offset {offset}: {problem}: expected {expected}, found {found}"
        ));
        lines.push(format!("  {consequence}"));
        match &row.repair {
            _ if row.repaired => lines.push("  repaired".to_owned()),
            Some(Repair { action, loses: None }) => lines.push(format!("  --repair would {action}")),
            Some(Repair { action, loses: Some(loses) }) => {
                lines.push(format!("  --repair --allow-loss would {action}, and lose {loses}"));
            }
            None => {}
        }
    }
    for volume in report.volumes.iter().flatten() {
        lines.push(volume_text(volume));
    }
    let verdict = if report.clean { "nothing is wrong" } else { "see above" };
    lines.push(format!("{}: {}: {verdict}", report.image, report.format));
    lines.join("\n") + "\n"
}

/// `partition 2: record 40 (\dir\file), $DATA: `
fn place(inside: &Inside) -> String {
    let mut place = format!("{}: ", inside.volume);
    if let Some(record) = inside.record {
        place += &format!("record {record}");
        place += &inside.path.map_or_else(String::new, |path| format!(" ({path})"));
        place += &inside.attribute.map_or_else(String::new, |attribute| format!(", {attribute}"));
        place += ": ";
    }
    place
}

fn volume_text(row: &VolumeRow) -> String {
    let VolumeRow { volume, unlisted, .. } = row;
    match (row.file_system, row.checked) {
        (Some(found), true) if *unlisted > 0 => {
            format!("{volume}: {found}: checked; {unlisted} more findings of the same kinds are not listed")
        }
        (Some(found), true) => format!("{volume}: {found}: checked"),
        (Some(found), false) => format!("{volume}: {found}: not looked into"),
        (None, _) => format!("{volume}: nothing that is known: not looked into"),
    }
}
