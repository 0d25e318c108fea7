//! Writers held against cuts and errors: every state in which a power cut may leave an image after the operations
//! of small workloads, and every storage call failing in turn.
//!
//! `DISKPORT_CRASH=full` tries everything; otherwise a seeded part is tried, of at least [`STATES`] states a format.

mod bytes;
mod errors;
mod expected;
mod image;
mod oracle;
mod parallel;
mod recorder;
mod states;
mod survey;
mod target;
mod toy;
mod workload;

use std::sync::atomic::Ordering::Relaxed;

use diskport::Format;
use libtest_mimic::{Arguments, Failed, Trial};
use survey::{Effort, Survey};

/// Different states of a format's images that are examined at least.
const STATES: usize = 100_000;

fn main() {
    let mut arguments = Arguments::from_args();
    // Each trial uses all processors.
    arguments.test_threads = Some(1);
    let formats = [Format::Raw, Format::Vhd, Format::Vhdx, Format::Vmdk];
    let mut trials: Vec<_> =
        formats.map(|format| Trial::test(format!("{}::cuts", format.name()), move || cuts(format))).into();
    trials.extend(
        formats.map(|format| Trial::test(format!("{}::errors", format.name()), move || errors(format))),
    );
    trials.extend(toy::Flaw::ALL.map(|flaw| {
        let name = match flaw {
            toy::Flaw::None => "the enumerator passes a right writer".to_owned(),
            flaw => format!("the enumerator catches {flaw:?}"),
        };
        Trial::test(name, move || toy::check(flaw))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn cuts(format: Format) -> Result<(), Failed> {
    let effort = Effort::from_environment();
    let survey = Survey::run(format, &effort, &|_, _, _| Ok(()))?;
    let distinct = survey.distinct();
    let [workloads, cuts] = [&survey.workloads, &survey.cuts].map(|count| count.load(Relaxed));
    let repaired = survey.repaired.load(Relaxed);
    eprintln!(
        "{format}: {distinct} states at {cuts} cuts of {workloads} workloads, {repaired} of them after a repair"
    );
    // A raw disk has few: there is nothing but content.
    let least = if effort.only.is_some() {
        1
    } else if format == Format::Raw {
        STATES / 100
    } else {
        STATES
    };
    if distinct < least {
        return Err(format!("only {distinct} states, expected at least {least}").into());
    }
    Ok(())
}

fn errors(format: Format) -> Result<(), Failed> {
    let errors = errors::run(format)?;
    let [faults, errors] = [&errors.faults, &errors.errors].map(|count| count.load(Relaxed));
    eprintln!("{format}: {faults} failing storage calls, {errors} of them led to errors");
    if faults < 100 || errors < faults / 4 {
        return Err("too few for the test to have meant anything".into());
    }
    Ok(())
}
