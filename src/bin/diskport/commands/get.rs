//! `get`: files inside a disk, copied out of it.

use std::process::ExitCode;

use diskport::storage::Shown;
use diskport::windows::files::{Extract, Node};

use super::{cat, output};
use crate::args::Get;
use crate::console::{say, tell};
use crate::failure::Failure;
use crate::signals;
use crate::size::show;

pub fn run(args: &Get) -> Result<ExitCode, Failure> {
    let (_, volume) = args.volume.open()?;
    let node = Node::at(&volume, &args.file.file())?;
    if output::is_stdout(&args.destination) {
        return cat::write(&node, &args.file);
    }
    let extract = Extract::new().overwrite(args.overwrite).job(&signals::job());
    let is_tree = args.recursive && node.metadata.is_directory && args.file.stream().is_empty();
    let done = match is_tree {
        true => extract.directory(&node, &args.destination)?,
        false => extract.file(&node, args.file.stream(), &args.destination)?,
    };
    for link in &done.links {
        say(&format!("diskport: warning: {link}: is a link, and was left out"));
    }
    let files = if is_tree { format!("{} files, ", done.files) } else { String::new() };
    let destination = args.destination.shown().to_string();
    tell(
        args.json,
        &format!("{destination}: {files}{} of {}", show(done.bytes), args.file),
        &serde_json::json!({
            "output": destination,
            "files": done.files,
            "bytes": done.bytes,
            "links_left_out": done.links.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}
