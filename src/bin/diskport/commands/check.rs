//! `check`: what is wrong with an image.

use std::process::ExitCode;

use diskport::check::{Finding, Repairs};
use diskport::storage::Shown;
use serde::Serialize;

use crate::args::{Check, say_warning};
use crate::console;
use crate::failure::Failure;
use crate::signals;

#[derive(Serialize)]
struct Report<'a> {
    image: String,
    format: &'static str,
    clean: bool,
    findings: Vec<Row<'a>>,
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
    consequence: &'a str,
    repair: Option<Repair<'a>>,
    repaired: bool,
}

#[derive(Serialize)]
struct Repair<'a> {
    action: &'a str,
    loses: Option<&'a str>,
}

pub fn run(args: &Check) -> Result<ExitCode, Failure> {
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
    let gone = before.findings.iter().filter(|finding| !after.findings.contains(finding));
    let findings_gone = gone.clone().count();
    let findings = gone.map(|finding| row(finding, true));
    let report = Report {
        image: image.path.shown(),
        format: after.format.name(),
        clean: after.is_clean(),
        findings: findings.chain(after.findings.iter().map(|finding| row(finding, false))).collect(),
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
        consequence: &finding.consequence,
        repair: finding
            .repair
            .as_ref()
            .map(|repair| Repair { action: &repair.action, loses: repair.loses.as_deref() }),
        repaired,
    }
}

fn text(report: &Report<'_>) -> String {
    let mut lines = Vec::new();
    for row in &report.findings {
        let Row { severity, problem, file, structure, offset, expected, found, consequence, .. } = row;
        lines.push(format!(
            "{severity}: {file}: {structure} at offset {offset}: {problem}: expected {expected}, found {found}"
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
    let verdict = if report.clean { "nothing is wrong" } else { "see above" };
    lines.push(format!("{}: {}: {verdict}", report.image, report.format));
    lines.join("\n") + "\n"
}
