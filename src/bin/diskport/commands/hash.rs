//! `hash`: the digest of the whole virtual content.

use std::process::ExitCode;

use diskport::copy::{Progress, digest};

use crate::args::Hash;
use crate::console::{self, Watch};
use crate::failure::Failure;

pub fn run(args: &Hash) -> Result<ExitCode, Failure> {
    let disk = args.open.open(&args.image, args.format)?;
    let cancel = console::cancel_on_interrupt();
    let progress = Progress::new();
    let hex = {
        let _watch = Watch::start(args.progress.progress, "hash", &progress);
        digest(&disk, args.algorithm, &progress, &cancel)?
    };
    let image = args.image.display().to_string();
    if args.json {
        console::print_json(&serde_json::json!({ "digest": hex, "image": image, "bytes": disk.size() }))?;
    } else {
        console::print(&format!("{hex}  {image}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
