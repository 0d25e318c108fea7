//! The commands that look at partitions, or change their table.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use diskport::Format;
use uuid::Uuid;

use super::{FormatName, ImageArgs, OpenArgs, OutputArgs};

#[derive(Args)]
pub struct Partitions {
    #[command(flatten)]
    pub image: ImageArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ConvertToGpt {
    /// The image whose MBR is to become a GPT; it is not changed
    pub source: PathBuf,
    /// The output
    pub destination: PathBuf,
    /// Whether the output is a differencing child of the source, or a disk of its own
    #[arg(long, value_enum, default_value_t = OutputKind::Child)]
    pub output_kind: OutputKind,
    /// The format of a copy, by default what the output's name ends in; a child has its parent's
    #[arg(long, short = 'O')]
    pub format: Option<FormatName>,
    /// What partitions of an MBR type are in the GPT: 131=GUID
    #[arg(long, value_name = "TYPE=GUID", value_parser = parse_mapping)]
    pub map: Vec<(u8, Uuid)>,
    /// The source's format, instead of detecting it
    #[arg(long, short = 'f', value_name = "FORMAT")]
    pub source_format: Option<Format>,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What an operation makes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputKind {
    /// A differencing child, which holds only what differs from the source
    Child,
    /// A disk of its own
    Copy,
}

/// A type, decimal as MBR2GPT takes it or with 0x, and a GUID.
fn parse_mapping(text: &str) -> Result<(u8, Uuid), String> {
    let parsed = || {
        let (kind, guid) = text.split_once('=')?;
        let kind = match kind.strip_prefix("0x") {
            Some(digits) => u8::from_str_radix(digits, 16).ok()?,
            None => kind.parse().ok()?,
        };
        Some((kind, guid.parse().ok()?))
    };
    parsed()
        .ok_or_else(|| "expected a type and a GUID, as 131=0fc63daf-8483-4772-8e79-3d69d8477de4".to_owned())
}
