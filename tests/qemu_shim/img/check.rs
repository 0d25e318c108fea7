//! `qemu-img check [-f FORMAT] [-r leaks|all] FILE`

use diskport::check::{Checked, Finding, Repairs, Severity};

use super::Outcome;
use crate::failure;
use crate::image::Image;
use crate::options::Options;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "f:r:", &[])?;
    let [name] = options.exactly()?;
    let image = Image::named(name, options.value('f'))?;
    let checked = image.how().check(&image.path).map_err(|e| format!("Could not open '{name}': {e}"))?;
    let repairs = match options.value('r') {
        None => None,
        Some("leaks") => Some(Repairs::Lossless),
        Some("all") => Some(Repairs::All),
        Some(other) => return Err(format!("Invalid repair mode '{other}'")),
    };
    let Some(repairs) = repairs.filter(|_| !checked.is_clean()) else { return Ok(report(&checked)) };
    let repaired = image.how().repair(&image.path, repairs).map_err(|e| failure::of(&e))?;
    println!("The following inconsistencies were found and repaired:\n");
    let corruptions = problems(&checked).count().saturating_sub(problems(&repaired).count());
    println!("    0 leaked clusters\n    {corruptions} corruptions\n");
    println!("Double checking the fixed image now...");
    Ok(report(&repaired))
}

/// Prints what was found, and gives the exit code. Of what a note tells of, unused space for one, qemu says nothing.
fn report(checked: &Checked) -> u8 {
    for problem in problems(checked) {
        println!("{problem}");
    }
    match problems(checked).count() {
        0 => {
            println!("No errors were found on the image.");
            0
        }
        count => {
            println!("\n{count} errors were found on the image.");
            2
        }
    }
}

fn problems(checked: &Checked) -> impl Iterator<Item = &Finding> {
    checked.findings.iter().filter(|finding| finding.severity != Severity::Note)
}
