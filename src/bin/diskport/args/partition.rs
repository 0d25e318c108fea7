//! The commands that look at partitions, or change their table.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use diskport::Format;
use diskport::inspect::Requirement;
use diskport::ops::{EspChoice, EspPlace};
use diskport::partition::PartitionType;
use diskport::windows::boot_files::SigningAuthority;
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
pub struct Inspect {
    #[command(flatten)]
    pub image: ImageArgs,
    /// What the disk must be like, as vda>=2311, windows>=10.0.17763 or state=clean; the exit code is 1 when it is not. May be
    /// given several times
    #[arg(long, value_name = "RULE")]
    pub require: Vec<Requirement>,
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
    #[command(flatten)]
    pub conversion: ConversionArgs,
}

#[derive(Args)]
pub struct ConvertToUefi {
    /// The image with a Windows that a BIOS boots; it is not changed
    pub source: PathBuf,
    /// The output
    #[arg(required_unless_present = "dry_run")]
    pub destination: Option<PathBuf>,
    /// Print what would be done, or why it cannot be, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where the EFI system partition goes: auto takes the first of reuse, gap and shrink that is possible
    #[arg(long, value_enum, default_value_t = Esp::Auto)]
    pub esp: Esp,
    /// Take the boot files from this folder, a copy of \Windows\Boot, instead of from the image
    #[arg(long, value_name = "DIR")]
    pub boot_files: Option<PathBuf>,
    /// Whose signature the boot manager is to bear: the PCA of 2011, or the CA of 2023 that newer firmware may insist on
    #[arg(long, value_name = "YEAR", value_enum, default_value_t = Authority::Pca2011)]
    pub signing_authority: Authority,
    /// Take volumes whose log is marked clean for clean, though it is of the version that Windows keeps while they are mounted
    #[arg(long)]
    pub trust_clean_log: bool,
    #[command(flatten)]
    pub conversion: ConversionArgs,
}

/// What the conversions of a disk in place of its source have in common.
#[derive(Args)]
pub struct ConversionArgs {
    /// Whether the output is a differencing child of the source, or a disk of its own
    #[arg(long, value_enum, default_value_t = OutputKind::Child)]
    pub output_kind: OutputKind,
    /// The format of a copy, by default what the output's name ends in; a child has its parent's
    #[arg(long, short = 'O')]
    pub format: Option<FormatName>,
    /// What partitions of an MBR type are in the GPT: 0x83=GUID, or in decimal 131=GUID
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

/// Where the EFI system partition goes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Esp {
    /// The first of the next three that is possible
    Auto,
    /// In place of the BIOS's system partition
    Reuse,
    /// Where no partition is
    Gap,
    /// Behind a volume that is made smaller
    Shrink,
    /// Behind the end of the disk, which is made larger
    Grow,
}

impl From<Esp> for EspChoice {
    fn from(esp: Esp) -> Self {
        match esp {
            Esp::Auto => EspChoice::Auto,
            Esp::Reuse => EspChoice::Only(EspPlace::Reuse),
            Esp::Gap => EspChoice::Only(EspPlace::Gap),
            Esp::Shrink => EspChoice::Only(EspPlace::Shrink),
            Esp::Grow => EspChoice::Only(EspPlace::Grow),
        }
    }
}

/// Whose signature the boot manager bears.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Authority {
    /// Microsoft Windows Production PCA 2011
    #[value(name = "2011")]
    Pca2011,
    /// Windows UEFI CA 2023
    #[value(name = "2023")]
    Ca2023,
}

impl From<Authority> for SigningAuthority {
    fn from(authority: Authority) -> Self {
        match authority {
            Authority::Pca2011 => SigningAuthority::Pca2011,
            Authority::Ca2023 => SigningAuthority::Ca2023,
        }
    }
}

/// What an operation makes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputKind {
    /// A differencing child, which holds only what differs from the source
    Child,
    /// A disk of its own
    Copy,
}

/// A type of an MBR, and what it is in a GPT.
fn parse_mapping(text: &str) -> Result<(u8, Uuid), String> {
    let parsed = text.split_once('=').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parsed {
        Some((PartitionType::Mbr(from), PartitionType::Gpt(to))) => Ok((from, to)),
        _ => {
            Err("expected a type and a GUID, as 0x83=0fc63daf-8483-4772-8e79-3d69d8477de4 (or 131=…)"
                .to_owned())
        }
    }
}
