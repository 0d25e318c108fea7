//! `hash`: the digest of the whole virtual content.

use std::process::ExitCode;

use diskport::digest::digest;
use diskport::storage::Shown;

use crate::args::{Hash, ProgressMode};
use crate::console::{self, Watch};
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Hash, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let disk = args.image.open()?;
    let job = signals::job();
    let hex = {
        let _watch = Watch::start(mode, job.progress());
        digest(&disk, args.algorithm, &job)?
    };
    let image = args.image.path.shown();
    if args.json {
        console::print_json(&serde_json::json!({ "digest": hex, "image": image, "bytes": disk.size() }))?;
    } else {
        console::print(&format!("{hex}  {image}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
