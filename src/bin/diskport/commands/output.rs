//! What the commands that write an output share.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use diskport::Format;
use diskport::copy::{Convert, OutputFormat, Report};
use diskport::disk::{Loss, Losses};
use diskport::job::Job;
use diskport::storage::Shown;

use crate::args::{FormatName, OutputArgs, PolicyArgs, ProgressMode, Resolve, Zeros};
use crate::console::{self, Watch, say};
use crate::failure::Failure;
use crate::hint;
use crate::signals;
use crate::size::show;

/// Why an output and a document cannot both be had.
pub const ONE_OUTPUT: &str = "--json and the output cannot both go to standard output";

/// Whether the output is standard output.
pub fn is_stdout(destination: &Path) -> bool {
    destination.as_os_str() == "-"
}

/// Refuses a name that ends in another format than `written`, which the user did not choose.
pub fn check_name(path: &Path, written: Format) -> Result<(), Failure> {
    if is_stdout(path) {
        return Err(Failure::Usage("a child is no stream: name a file".to_owned()));
    }
    let written = FormatName { format: written, container: None };
    match FormatName::of_name(path).filter(|named| *named != written) {
        Some(_) => Err(Failure::Usage(format!("{}: the image would be a {}", path.shown(), written.format))),
        None => Ok(()),
    }
}

/// Says so when the name of an output says another format than it is `written` in.
pub fn warn_of_name(path: &Path, written: OutputFormat) {
    let is = FormatName::of_output(written);
    let Some(named) = FormatName::of_name(path).filter(|named| *named != is && !is_stdout(path)) else {
        return;
    };
    say(&format!("diskport: warning: {}: is {written}, and its name ends as that of {named}", path.shown()));
    // Whoever may have written a raw disk is not believed.
    if named.format == Format::Raw && is.container.is_none() {
        say(&format!("  it opens with --format {}", is.format.name()));
    }
}

/// Says so when the child at `path`, which is new or has another parent, does not find it by itself.
pub fn warn_of_place(path: &Path, policy: &PolicyArgs) {
    let policy = PolicyArgs { resolve: Resolve::SameDirectory, ..policy.clone() };
    if let Err(problem) = policy.options(None).open(path) {
        say(&format!("diskport: warning: {}: does not open by itself: {problem}", path.shown()));
        let anywhere = PolicyArgs { resolve: Resolve::Any, ..policy };
        match anywhere.options(None).open(path) {
            Ok(_) => say("  it does with --resolve any, or with its parent named by --parent PATH"),
            Err(_) => problem.hint().iter().for_each(|hint| say(&format!("  {}", hint::words(*hint)))),
        }
    }
}

/// The format asked for, or the one that the output's name ends in.
pub fn format(
    destination: &Path,
    kind: Option<FormatName>,
    subformat: Option<&str>,
) -> Result<OutputFormat, Failure> {
    let Some(FormatName { format, container }) = kind.or_else(|| FormatName::of_name(destination)) else {
        return Err(Failure::Usage("name the output's format with --format".to_owned()));
    };
    Ok(OutputFormat::new(format, subformat.or(container))?)
}

/// The copy as the options have it.
pub fn configure(copy: Convert, args: &OutputArgs, job: &Job) -> Convert {
    let job = args.rate_limit.map_or_else(|| job.clone(), |rate| job.clone().rate_limit(rate));
    let mut copy = copy
        .detect_zeros(args.zeros == Zeros::Scan)
        .verify(args.verify)
        .sync(!args.no_sync)
        .overwrite(args.locks.overwrite(args.overwrite))
        .resumable(args.resume)
        .checkpoint_interval(args.checkpoint_interval)
        .job(&job);
    if let Some(seed) = args.seed {
        copy = copy.seed(seed);
    }
    if let Some(level) = args.level {
        copy = copy.level(level);
    }
    if let Some(threads) = args.threads {
        copy = copy.threads(threads);
    }
    for &digest in &args.digest {
        copy = copy.digest(digest);
    }
    copy
}

/// What a copy did beside copying: what was changed of the disk, and what could not be read of it.
pub type Remarks<'a> = (&'a [String], &'a Losses);

/// Runs a copy into `destination` and reports what it did.
pub fn write(
    copy: Convert,
    destination: &Path,
    args: &OutputArgs,
    mode: ProgressMode,
    remarks: Remarks<'_>,
) -> Result<ExitCode, Failure> {
    let to_stdout = is_stdout(destination);
    if to_stdout && args.json {
        return Err(Failure::Usage(ONE_OUTPUT.to_owned()));
    }
    if to_stdout && args.resume {
        return Err(Failure::Usage("--resume needs a file to go on with".to_owned()));
    }
    warn_of_name(destination, copy.format());
    let job = signals::job();
    let copy = configure(copy, args, &job);
    let report = {
        let _watch = Watch::start(mode, job.progress());
        if to_stdout {
            // Nobody may read at the other end: a write that hangs is left behind.
            let copy = copy.clone();
            job.token().attend(move || copy.write_to(io::stdout()))?
        } else {
            copy.create(destination)?
        }
    };
    tell(&copy, destination, args.json, &report, remarks)
}

/// Says what a copy did: 1 when something was lost.
pub fn tell(
    copy: &Convert,
    destination: &Path,
    json: bool,
    report: &Report,
    remarks: Remarks<'_>,
) -> Result<ExitCode, Failure> {
    let (adjustments, losses) = remarks;
    let losses = losses.list();
    let adjustments: Vec<_> = adjustments.iter().cloned().chain(copy.left_out()).collect();
    if json {
        let digests = report.digests.iter().map(|(digest, hex)| (digest.name(), hex));
        console::print_json(&serde_json::json!({
            "destination": destination.shown(),
            "format": copy.format().format().name(),
            "subformat": copy.format().subformat(),
            "virtual_size": report.virtual_size,
            "data_read": report.data_read,
            "data_written": report.data_written,
            "data_shared": report.data_shared,
            "verified": report.verified,
            "resumed_at": report.resumed_at,
            "begun_again": report.begun_again.map(|why| why.to_string()),
            "digests": digests.collect::<BTreeMap<_, _>>(),
            "adjustments": adjustments,
            "losses": losses.iter().map(row).collect::<Vec<_>>(),
        }))?;
    } else {
        console::report(&format!(
            "{}: {}, {}",
            destination.shown(),
            copy.format(),
            show(report.virtual_size)
        ));
        console::report(&format!(
            "  data read {}, written {}",
            show(report.data_read),
            show(report.data_written)
        ));
        if report.data_shared > 0 {
            console::report(&format!("  shared with the source {}", show(report.data_shared)));
        }
        adjustments.iter().for_each(|adjustment| console::report(&format!("  {adjustment}")));
        report.digests.iter().for_each(|(digest, hex)| console::report(&format!("  {digest} {hex}")));
        if let Some(position) = report.resumed_at {
            console::report(&format!("  {} were there already", show(position)));
        }
        if let Some(why) = report.begun_again {
            console::report(&format!("  begun again: {why}"));
        }
        if report.verified {
            console::report("  read back and compared: identical");
        }
        for Loss { offset, len, cause, .. } in &losses {
            match len {
                0 => say(&format!("  lost: {cause}")),
                _ => say(&format!("  lost: {len} bytes at {offset}: {cause}")),
            }
        }
    }
    Ok(ExitCode::from(u8::from(!losses.is_empty())))
}

fn row(loss: &Loss) -> serde_json::Value {
    serde_json::json!({ "offset": loss.offset, "length": loss.len, "cause": loss.cause })
}
