//! The command line: parses, calls the library, prints.

mod args;
mod commands;
mod console;
mod failure;
mod hint;
mod limits;
mod signals;
mod size;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Failure::Parser(error).report(),
    };
    signals::fail_beyond_file_size_limit();
    limits::raise_open_files();
    let mode = cli.progress;
    if cli.quiet {
        console::be_quiet();
    }
    let result = match cli.command {
        Command::Info(args) => commands::info::run(&args),
        Command::Map(args) => commands::map::run(&args),
        Command::Hash(args) => commands::hash::run(&args, mode),
        Command::Compare(args) => commands::compare::run(&args, mode),
        Command::Diff(args) if args.files => commands::diff_files::run(&args.compare),
        Command::Diff(args) => commands::diff::run(&args.compare, mode),
        Command::Read(args) => commands::read::run(&args),
        Command::Create(args) => commands::create::run(&args),
        Command::Write(args) => commands::write::run(&args),
        Command::Resize(args) => commands::resize::run(&args),
        Command::Compact(args) => commands::compact::run(&args),
        Command::Merge(args) => commands::merge::run(&args, mode),
        Command::Rebase(args) => commands::rebase::run(&args, mode),
        Command::Check(args) => commands::check::run(&args, mode),
        Command::Convert(args) => match &args.plan {
            Some(plan) => commands::plan::carry_out(&args, plan, mode),
            None => commands::convert::run(&args, mode),
        },
        Command::Plan(args) => commands::plan::run(&args, mode),
        Command::Update(args) => commands::update::run(&args, mode),
        Command::EbsBlocks(args) => commands::ebs_blocks::run(&args, mode),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Partitions(args) => commands::partitions::run(&args),
        Command::ConvertToGpt(args) => commands::convert_to_gpt::run(&args, mode),
        Command::ConvertToUefi(args) => commands::convert_to_uefi::run(&args, mode),
        Command::Ls(args) => commands::ls::run(&args),
        Command::Cat(args) => commands::cat::run(&args),
        Command::Get(args) => commands::get::run(&args),
        Command::Registry(args) => commands::registry::run(&args),
        Command::ReverseImage(args) => commands::reverse_image::run(&args, mode),
    };
    result.unwrap_or_else(|failure: Failure| failure.report())
}
