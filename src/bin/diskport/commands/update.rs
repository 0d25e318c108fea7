//! `update`: an existing disk is made to hold what another image holds.

use std::process::ExitCode;

use diskport::copy::update;
use diskport::storage::Shown;

use crate::args::{ProgressMode, Update};
use crate::console::{self, Watch, report};
use crate::failure::Failure;
use crate::signals;
use crate::size::show;

pub fn run(args: &Update, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let source = args.skip.of(args.source_options().open(&args.source, args.source_format)?)?;
    let destination = args.destination.open()?;
    let job = signals::job();
    let updated = {
        let _watch = Watch::start(mode, job.progress());
        update(&source, destination, &job)?
    };
    let path = args.destination.image.path.shown();
    if args.json {
        console::print_json(&serde_json::json!({
            "destination": path,
            "virtual_size": source.size(),
            "written": updated.written,
            "zeroed": updated.zeroed,
        }))?;
    } else {
        report(&format!("{path}: {} written, {} made zeros", show(updated.written), show(updated.zeroed)));
    }
    Ok(ExitCode::SUCCESS)
}
