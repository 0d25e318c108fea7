//! `convert-to-uefi`: a Windows that a BIOS boots becomes one that UEFI boots, in a child or in a copy.

use std::path::Path;
use std::process::ExitCode;

use diskport::ops::{UefiOptions, UefiPlan, plan_convert_to_uefi};

use super::{output, partitions};
use crate::args::{ConvertToUefi, OutputKind, ProgressMode};
use crate::console::{self, say};
use crate::failure::Failure;

pub fn run(args: &ConvertToUefi, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let conversion = &args.conversion;
    let destination = args.destination.as_deref().filter(|_| !args.dry_run);
    let format = match destination {
        Some(destination) => conversion.copy_format(destination)?,
        None => None,
    };
    let source = conversion.open.open(&args.source, conversion.source_format)?;
    let options = UefiOptions {
        esp: args.esp.into(),
        boot_files: args.boot_files.clone(),
        authority: args.signing_authority.into(),
        copy: conversion.output_kind == OutputKind::Copy,
        types: conversion.map.iter().copied().collect(),
    };
    let mut ids = conversion.ids();
    let plan = plan_convert_to_uefi(&source, &options, &mut ids)?;
    match (destination, format) {
        (Some(destination), Some(format)) => {
            let all = plan.steps.iter().chain(&plan.next_steps).cloned().collect::<Vec<_>>();
            warn(&plan);
            output::write(plan.copy().to(format), destination, &conversion.output, mode, &all)
        }
        (Some(destination), None) => {
            conversion.write_child(plan.child().ids(ids), &source, destination)?;
            tell(&plan, Some(destination), conversion.output.json)
        }
        (None, _) => tell(&plan, None, conversion.output.json),
    }
}

/// Says what was done, or without a destination what would be.
fn tell(plan: &UefiPlan, destination: Option<&Path>, json: bool) -> Result<ExitCode, Failure> {
    let (id, rows) = (partitions::disk_id(&plan.layout), partitions::rows(&plan.layout, &plan.disk)?);
    let destination = destination.map(|destination| destination.display().to_string());
    if json {
        console::print_json(&serde_json::json!({
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
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}: GPT {id}\n", destination.as_deref().unwrap_or("plan"));
    let lines = rows.iter().map(partitions::line).chain(plan.steps.iter().cloned());
    lines.for_each(|line| text.push_str(&format!("  {line}\n")));
    if !plan.tried.is_empty() {
        text.push_str(&format!("  not possible: {}\n", plan.tried.join("; ")));
    }
    plan.next_steps.iter().for_each(|step| text.push_str(&format!("next: {step}\n")));
    match destination {
        // A plan is what was asked for; a report goes where messages go.
        None => console::print(&text)?,
        Some(_) => say(text.trim_end()),
    }
    warn(plan);
    Ok(ExitCode::SUCCESS)
}

fn warn(plan: &UefiPlan) {
    plan.warnings.iter().for_each(|warning| say(&format!("diskport: warning: {warning}")));
}
