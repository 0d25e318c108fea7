//! `convert-to-gpt`: a GPT in place of an MBR, in a child or in a copy.

use std::process::ExitCode;

use diskport::Format;
use diskport::Ids;
use diskport::ops::{GptPlan, plan_convert_to_gpt};

use super::{output, partitions};
use crate::args::{ConvertToGpt, OutputKind, ProgressMode};
use crate::console::{self, say};
use crate::failure::Failure;

pub fn run(args: &ConvertToGpt, mode: ProgressMode) -> Result<ExitCode, Failure> {
    // What the options rule out is said before anything is opened.
    let format = match args.output_kind {
        OutputKind::Copy => Some(output::format(&args.destination, args.format, None)?),
        OutputKind::Child if args.format.is_some() => {
            return Err(Failure::Usage(
                "--format is for --output-kind copy: a child has its parent's".to_owned(),
            ));
        }
        OutputKind::Child if args.output.verify || args.output.resume || !args.output.digest.is_empty() => {
            return Err(Failure::Usage(
                "--verify, --resume and --digest are for --output-kind copy".to_owned(),
            ));
        }
        OutputKind::Child => None,
    };
    let source = args.open.open(&args.source, args.source_format)?;
    let mut ids = args.output.seed.map_or_else(Ids::random, Ids::seeded);
    let plan = plan_convert_to_gpt(&source, &args.map.iter().copied().collect(), &mut ids)?;
    match format {
        Some(format) => {
            let rows = partitions::rows(&plan.layout, &plan.source)?;
            let mut adjustments = vec![format!("GPT {}", partitions::disk_id(&plan.layout))];
            adjustments.extend(rows.iter().map(partitions::line));
            output::write(plan.copy()?.to(format), &args.destination, &args.output, mode, &adjustments)
        }
        None => child(args, &plan),
    }
}

fn child(args: &ConvertToGpt, plan: &GptPlan) -> Result<ExitCode, Failure> {
    let below = plan.source.chain().first().map_or(Format::Raw, |top| top.info().format);
    output::check_name(&args.destination, if below == Format::Raw { Format::Vhd } else { below })?;
    plan.child().overwrite(args.output.overwrite).sync(!args.output.no_sync).write_file(&args.destination)?;
    output::warn_of_place(&args.destination, args.open.policy);
    let rows = partitions::rows(&plan.layout, &plan.source)?;
    if args.output.json {
        console::print_json(&serde_json::json!({
            "destination": args.destination.display().to_string(),
            "disk_id": partitions::disk_id(&plan.layout),
            "partitions": rows,
        }))?;
    } else {
        say(&format!("{}: GPT {}", args.destination.display(), partitions::disk_id(&plan.layout)));
        rows.iter().for_each(|row| say(&format!("  {}", partitions::line(row))));
    }
    Ok(ExitCode::SUCCESS)
}
