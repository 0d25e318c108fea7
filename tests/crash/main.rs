//! Writers held against cuts and errors: every state in which a power cut may leave an image after the operations
//! of small workloads, and every storage call failing in turn.
//!
//! A run takes a tenth of each campaign, drawn as [`Campaign`] says; `tests/campaign.sh` runs them whole.

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod errors;
mod expected;
mod failure;
mod image;
mod killed;
mod oracle;
mod parallel;
mod peers;
mod publish;
mod random;
mod recorder;
mod states;
mod survey;
mod target;
mod toy;
mod unfinished;
mod workload;

use std::sync::atomic::Ordering::Relaxed;

use common::campaign::Campaign;
use common::tools::trial;
use diskport::Format;
use libtest_mimic::{Arguments, Failed, Trial};
use survey::{Effort, Survey};

/// Different states of a format's images of which a tenth is examined at least.
const STATES: usize = 100_000;

fn main() {
    Campaign::from_environment().announce();
    let mut arguments = Arguments::from_args();
    // Each trial uses all processors.
    arguments.test_threads = Some(1);
    let formats = [Format::Raw, Format::Vhd, Format::Vhdx, Format::Vmdk];
    let mut trials: Vec<_> =
        formats.map(|format| Trial::test(format!("{}::cuts", format.name()), move || cuts(format))).into();
    trials.extend(
        formats.map(|format| Trial::test(format!("{}::errors", format.name()), move || errors(format))),
    );
    trials.extend(
        formats.map(|format| Trial::test(format!("{}::random", format.name()), move || random(format))),
    );
    trials.extend([Format::Vhd, Format::Vhdx, Format::Vmdk].map(|format| {
        trial(format!("{}::peers", format.name()), move || {
            let read = peers::run(format)?;
            eprintln!("{format}: {read} images after cuts read by others");
            Ok(())
        })
    }));
    trials.push(trial("outputs get their names when they are whole".to_owned(), || {
        let states = publish::check()?;
        eprintln!("{states} states of names");
        Ok(())
    }));
    trials.push(trial("outputs that are cut off are no disks".to_owned(), || {
        let cuts = unfinished::check()?;
        eprintln!("{cuts} cuts of outputs");
        if cuts < 200 { Err("too few to have meant anything".into()) } else { Ok(()) }
    }));
    trials.push(trial("a conversion that is killed goes on".to_owned(), || {
        let resumed = killed::check()?;
        eprintln!("{resumed} conversions went on");
        if resumed < Campaign::from_environment().part(100) {
            Err("too few to have meant anything".into())
        } else {
            Ok(())
        }
    }));
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
    let campaign = Campaign::from_environment();
    let effort = Effort::of(campaign.clone());
    let survey = Survey::run(format, &effort, &|_, _, _| Ok(()))?;
    let distinct = survey.distinct();
    let counts = [&survey.workloads, &survey.cuts, &survey.refusals];
    let [workloads, cuts, refusals] = counts.map(|count| count.load(Relaxed));
    let repaired = survey.repaired.load(Relaxed);
    eprintln!(
        "{format}: {distinct} states at {cuts} cuts of {workloads} workloads; {repaired} needed a repair; \
         {refusals} changes of the size were refused"
    );
    // A raw disk has few: there is nothing but content.
    let least = campaign.part(if format == Format::Raw { STATES / 100 } else { STATES });
    if distinct < least {
        return Err(format!("only {distinct} states, expected at least {least}").into());
    }
    Ok(())
}

fn errors(format: Format) -> Result<(), Failed> {
    let campaign = Campaign::from_environment();
    let errors = errors::run(format, &campaign)?;
    let [faults, errors] = [&errors.faults, &errors.errors].map(|count| count.load(Relaxed));
    eprintln!("{format}: {faults} failing storage calls, {errors} of them led to errors");
    if (faults as usize) < campaign.part(100) || errors < faults / 4 {
        return Err("too few for the test to have meant anything".into());
    }
    Ok(())
}

/// Random sequences a target in a whole campaign.
const SEQUENCES: usize = 1280;

fn random(format: Format) -> Result<(), Failed> {
    let campaign = Campaign::from_environment();
    let sequences = campaign.part(SEQUENCES);
    let operations = random::run(format, sequences as u32, campaign.seed())?;
    eprintln!("{format}: {operations} random operations");
    if operations < sequences { Err("too few to have meant anything".into()) } else { Ok(()) }
}
