//! `convert-to-uefi`: a Windows that a BIOS boots becomes one that UEFI boots, in a child or in a copy.

use std::path::Path;
use std::process::ExitCode;

use diskport::disk::Losses;
use diskport::ops::{UefiOptions, UefiPlan, plan_convert_to_uefi};
use diskport::storage::Shown;

use super::{output, partitions};
use crate::args::{ConvertToUefi, OutputKind, ProgressMode};
use crate::console::{self, say};
use crate::failure::Failure;

pub fn run(args: &ConvertToUefi, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let conversion = &args.conversion;
    let format = match &args.destination {
        Some(destination) => conversion.copy_format(destination)?,
        None => None,
    };
    let source = conversion.open.open(&args.source, conversion.source_format)?;
    if let Some(destination) = &args.destination {
        conversion.check_name(&source, destination)?;
    }
    let options = UefiOptions {
        esp: args.esp.into(),
        boot_files: args.boot_files.clone(),
        authority: args.signing_authority.into(),
        copy: conversion.output_kind == OutputKind::Copy,
        types: conversion.map.iter().copied().collect(),
        log_trusted: args.trust_clean_log,
    };
    let mut ids = conversion.ids();
    let plan = plan_convert_to_uefi(&source, &options, &mut ids)?;
    // What is said is known before anything is written.
    let destination = args.destination.as_deref().filter(|_| !args.dry_run);
    let told = Told::of(&plan, destination)?;
    let Some(destination) = destination else {
        // A plan is what was asked for; a report goes where messages go.
        if conversion.output.json {
            console::print_json(&told.json)?;
        } else {
            console::print(&told.text)?;
        }
        warn(&plan);
        return Ok(ExitCode::SUCCESS);
    };
    warn(&plan);
    if let Some(format) = format {
        let lines: Vec<_> = told.text.lines().map(|line| line.trim_start().to_owned()).collect();
        return output::write(
            plan.copy().to(format),
            destination,
            &conversion.output,
            mode,
            (&lines, &Losses::new()),
        );
    }
    conversion.write_child(plan.child().ids(ids), destination)?;
    if conversion.output.json {
        console::print_json(&told.json)?;
    } else {
        console::report(told.text.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// A plan, for programs and for people.
struct Told {
    json: serde_json::Value,
    text: String,
}

impl Told {
    /// Without a destination it is what would be done.
    fn of(plan: &UefiPlan, destination: Option<&Path>) -> Result<Self, Failure> {
        let (id, rows) = (partitions::disk_id(&plan.layout), partitions::rows(&plan.layout, &plan.disk)?);
        let destination = destination.map(|destination| destination.shown());
        let mut text = format!("{}: GPT {id}\n", destination.as_deref().unwrap_or("plan"));
        let lines = rows.iter().map(partitions::line).chain(plan.steps.iter().cloned());
        lines.for_each(|line| text.push_str(&format!("  {line}\n")));
        if !plan.tried.is_empty() {
            text.push_str(&format!("  not possible: {}\n", plan.tried.join("; ")));
        }
        plan.next_steps.iter().for_each(|step| text.push_str(&format!("next: {step}\n")));
        let json = serde_json::json!({
            "destination": destination,
            "dry_run": destination.is_none(),
            "virtual_size": plan.disk.size(),
            "disk_id": id,
            "partitions": rows,
            "esp": {
                "place": plan.esp_place.name(),
                "start": plan.esp.start,
                "size": plan.esp.size,
                "id": plan.esp.id.map(|id| id.to_string()),
                "tried": plan.tried,
            },
            "windows": { "partition": plan.windows_partition, "root": plan.windows_root },
            "boot_files": { "origin": plan.boot_files, "signing_authority": plan.authority.to_string() },
            "bytes_changed": plan.bytes_changed,
            "bytes_moved": plan.bytes_moved,
            "steps": plan.steps,
            "warnings": plan.warnings,
            "next_steps": plan.next_steps,
        });
        Ok(Self { json, text })
    }
}

fn warn(plan: &UefiPlan) {
    plan.warnings.iter().for_each(|warning| say(&format!("diskport: warning: {warning}")));
}
