//! The grammar of the command line.

mod change;
mod delta;
mod files;
mod format_name;
mod open;
mod output;
mod partition;
mod skip;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use diskport::copy::Shard;
use diskport::digest::Digest;
use diskport::ops::Target;
use diskport::{Disk, Format};

pub use change::{ChangeArgs, Check, Compact, Create, LockArgs, Merge, Rebase, Resize, Write};
pub use delta::{EbsBlocks, Update};
pub use files::{Cat, Get, Ls, Registry, RegistryAction};
pub use format_name::FormatName;
pub use open::{
    ImageArgs, OpenArgs, PolicyArgs, Resolve, parse_extent, say_warning, warn_before_writing, warn_of,
};
pub use output::{OutputArgs, Zeros};
pub use partition::{ConversionArgs, ConvertToGpt, ConvertToUefi, Inspect, OutputKind, Partitions};
pub use skip::{SkipArgs, say_notes};

pub use crate::console::ProgressMode;
use crate::failure::Failure;
use crate::size::{self, NewSize};

/// Reads, converts and transforms virtual disks: VHD, VHDX, VMDK and raw.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// How progress is shown, on standard error
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Do not say what was done; warnings and errors are told all the same
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Says what an image is: format, sizes, identities, parents. Reads headers only
    Info(Info),
    /// Lists the extents of the virtual disk, through the chain of parents
    Map(Map),
    /// Prints the digest of the whole virtual content
    Hash(Hash),
    /// Compares the virtual contents of two images of any formats
    Compare(Compare),
    /// Lists the ranges in which the virtual contents of two images differ, or the files inside
    Diff(Diff),
    /// Writes bytes of the virtual disk to standard output
    Read(Read),
    /// Makes a new empty disk, or a differencing child
    Create(Create),
    /// Writes standard input to the virtual disk
    Write(Write),
    /// Changes the virtual size, in place
    Resize(Resize),
    /// Gives the space of unused and zeroed blocks back, in place
    Compact(Compact),
    /// Merges an image and its parents down to a base: into the base, or into a new image
    Merge(Merge),
    /// Gives an image another parent
    Rebase(Rebase),
    /// Looks for everything that is wrong with an image, and repairs it when told
    Check(Check),
    /// Converts an image, its chain flattened, into another format
    Convert(Convert),
    /// Prints a plan of a conversion, for many processes to carry out by `convert --plan`
    Plan(Convert),
    /// Makes an existing disk hold what another image holds, by writing only what differs, in place
    Update(Update),
    /// Lists the blocks that Amazon's EBS direct APIs take, with their digests
    EbsBlocks(EbsBlocks),
    /// Says what is inside: Windows, its state, software and drivers. Reads some megabytes, and changes nothing
    Inspect(Inspect),
    /// Lists the partitions of the virtual disk
    Partitions(Partitions),
    /// Makes a GPT of an MBR, in a differencing child or in a copy
    ConvertToGpt(ConvertToGpt),
    /// Makes a Windows that a BIOS boots one that UEFI firmware boots, in a differencing child or in a copy
    ConvertToUefi(ConvertToUefi),
    /// Lists files inside the disk
    Ls(Ls),
    /// Writes a file inside the disk to standard output
    Cat(Cat),
    /// Copies files out of the disk
    Get(Get),
    /// Looks at the registry of the Windows inside the disk
    Registry(Registry),
    /// Makes a native disk of a hypervisor from a vDisk with all its versions
    ReverseImage(ReverseImage),
}

#[derive(Args)]
pub struct Info {
    #[command(flatten)]
    pub image: ImageArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Map {
    #[command(flatten)]
    pub image: ImageArgs,
    /// List what the file systems hold free, and page and swap files, instead
    #[arg(long)]
    pub free: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Hash {
    #[command(flatten)]
    pub image: ImageArgs,
    /// sha256, md5 or blake3
    #[arg(long, default_value = "sha256")]
    pub algorithm: Digest,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Compare {
    /// One image
    pub a: PathBuf,
    /// The other
    pub b: PathBuf,
    /// The format of the first image, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
    /// The format of the second image, instead of detecting it
    #[arg(long, short = 'F')]
    pub format_b: Option<Format>,
    /// The parent of the second image; --parent names that of the first
    #[arg(long, value_name = "PATH")]
    pub parent_b: Option<PathBuf>,
    /// Where an extent of the second image lies; --extent is for the first
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_extent)]
    pub extent_b: Vec<(String, PathBuf)>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

impl Compare {
    /// Opens both images.
    pub fn open(&self) -> Result<(Disk, Disk), Failure> {
        let a = self.open.open(&self.a, self.format)?;
        let b = self.open.with_parent(&self.parent_b, &self.extent_b).open(&self.b, self.format_b)?;
        Ok((a, b))
    }
}

#[derive(Args)]
pub struct Diff {
    #[command(flatten)]
    pub compare: Compare,
    /// List the files and the values of registries that differ, instead of ranges
    #[arg(long)]
    pub files: bool,
}

#[derive(Args)]
pub struct Read {
    #[command(flatten)]
    pub image: ImageArgs,
    /// First byte
    #[arg(long, value_parser = size::parse)]
    pub offset: u64,
    /// How many bytes
    #[arg(long, value_parser = size::parse)]
    pub length: u64,
    /// Print a failure as one JSON document; the bytes themselves are none
    #[arg(long)]
    pub json: bool,
}

/// What a plan has decided, or what makes no sense of a part of an output.
const PLANNED: [&str; 21] = [
    "source_format",
    "format",
    "subformat",
    "target",
    "size",
    "block_size",
    "level",
    "seed",
    "zeros",
    "resume",
    "checkpoint_interval",
    "verify",
    "digest",
    "resolve",
    "ignore_parent_mismatch",
    "max_depth",
    "vhd_size",
    "grain_table",
    "salvage",
    "skip_free",
    "skip_paging",
];

#[derive(Args)]
pub struct Convert {
    /// The image to convert; - is standard input, which is raw, with --size, or a streamOptimized VMDK
    pub source: Option<PathBuf>,
    /// The output; - is standard output
    pub destination: Option<PathBuf>,
    /// Carry out a plan that `diskport plan` has written to this file, with --shard or --finish
    #[arg(long, value_name = "FILE", conflicts_with_all = PLANNED)]
    pub plan: Option<PathBuf>,
    /// Write this part of the plan's output: 3/16 is the third of sixteen
    #[arg(long, value_name = "N/COUNT", requires = "plan", conflicts_with = "finish")]
    pub shard: Option<Shard>,
    /// Check that all shards are there and hold what was written, and give the plan's output its name
    #[arg(long, requires = "plan")]
    pub finish: bool,
    /// The source's format, instead of detecting it
    #[arg(long, short = 'f', value_name = "FORMAT")]
    pub source_format: Option<Format>,
    /// The output's format: raw, vhd, vhdx or vmdk, or a container: ova, tar.gz. By default what the output's name ends in
    #[arg(long, short = 'O')]
    pub format: Option<FormatName>,
    /// The kind: fixed or dynamic of a VHD or VHDX; monolithicSparse, monolithicFlat,
    /// twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized or vmfs of a VMDK
    #[arg(long)]
    pub subformat: Option<String>,
    /// The platform: vsphere, vsphere-datastore, workstation, hyperv, azure, xenserver, gcp, aws, pvs or raw. It
    /// decides what format, kind and block size are not named
    #[arg(long)]
    pub target: Option<Target>,
    /// The output's virtual size: at least the source's, or with a sign how much larger: +10G
    #[arg(long, value_parser = size::parse_new, allow_hyphen_values = true)]
    pub size: Option<NewSize>,
    /// The output's block size; for formats that have one
    #[arg(long, value_parser = size::parse)]
    pub block_size: Option<u64>,
    /// Read what can be read of a damaged source. The rest is zeros and is listed, and the exit code is 1
    #[arg(long)]
    pub salvage: bool,
    #[command(flatten)]
    pub skip: SkipArgs,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct ReverseImage {
    /// The vDisk: its newest version, or the base
    pub source: PathBuf,
    /// The output; - is standard output
    pub destination: PathBuf,
    /// The source's format, instead of detecting it
    #[arg(long, short = 'f', value_name = "FORMAT")]
    pub source_format: Option<Format>,
    /// The platform: vsphere, vsphere-datastore, workstation, hyperv, azure, xenserver, gcp, aws, pvs or raw
    #[arg(long, default_value = "vsphere")]
    pub target: Target,
    /// The output's virtual size in MiB: at least the source's
    #[arg(long, value_name = "MIB", value_parser = size::number::<u64>)]
    pub size_mib: Option<u64>,
    #[command(flatten)]
    pub skip: SkipArgs,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn no_two_options_of_a_command_are_called_alike() {
        super::Cli::command().debug_assert();
    }
}
