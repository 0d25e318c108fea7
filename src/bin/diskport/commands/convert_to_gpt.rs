//! `convert-to-gpt`: a GPT in place of an MBR, in a child or in a copy.

use std::process::ExitCode;

use diskport::disk::Losses;
use diskport::ops::plan_convert_to_gpt;
use diskport::storage::Shown;

use super::{output, partitions};
use crate::args::{ConvertToGpt, ProgressMode};
use crate::console::{self, say};
use crate::failure::Failure;

pub fn run(args: &ConvertToGpt, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let (destination, conversion) = (&args.destination, &args.conversion);
    let format = conversion.copy_format(destination)?;
    let source = conversion.open.open(&args.source, conversion.source_format)?;
    conversion.check_name(&source, destination)?;
    let types = conversion.map.iter().copied().collect();
    let mut ids = conversion.ids();
    let plan = plan_convert_to_gpt(&source, &types, &mut ids)?;
    plan.warnings.iter().for_each(|warning| say(&format!("diskport: warning: {warning}")));
    let (id, rows) = (partitions::disk_id(&plan.layout), partitions::rows(&plan.layout, &plan.disk)?);
    if let Some(format) = format {
        let mut adjustments = vec![format!("GPT {id}")];
        adjustments.extend(rows.iter().map(partitions::line));
        return output::write(
            plan.copy().to(format),
            destination,
            &conversion.output,
            mode,
            (&adjustments, &Losses::new()),
        );
    }
    conversion.write_child(plan.child().ids(ids), destination)?;
    if conversion.output.json {
        console::print_json(&serde_json::json!({
            "destination": destination.shown(),
            "disk_id": id,
            "warnings": plan.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "partitions": rows,
        }))?;
    } else {
        console::report(&format!("{}: GPT {id}", destination.shown()));
        rows.iter().for_each(|row| console::report(&format!("  {}", partitions::line(row))));
    }
    Ok(ExitCode::SUCCESS)
}
