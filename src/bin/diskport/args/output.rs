//! What every command that writes an output takes.

use clap::{Args, ValueEnum};
use diskport::digest::Digest;

use super::LockArgs;
use crate::size;

/// How an output is written.
#[derive(Args)]
pub struct OutputArgs {
    /// Level of compression, 0 to 9. Without one it is 6, and grains that are compressed already stay as they are
    #[arg(long, value_parser = parse_level)]
    pub level: Option<u32>,
    /// Take identifiers and times from this number, so that the same source gives the same bytes each time
    #[arg(long, value_name = "N", value_parser = size::number::<u64>)]
    pub seed: Option<u64>,
    /// Which zeros are left out
    #[arg(long, value_enum, default_value_t = Zeros::Scan)]
    pub zeros: Zeros,
    /// Threads that read and compress
    #[arg(long, value_name = "N", value_parser = size::number::<usize>)]
    pub threads: Option<usize>,
    /// Bytes of data a second at most
    #[arg(long, value_name = "BYTES", value_parser = size::parse_positive)]
    pub rate_limit: Option<u64>,
    /// Go on with the same copy that was interrupted, and keep what is needed to go on with this one
    #[arg(long)]
    pub resume: bool,
    /// How many bytes are written from one checkpoint to the next
    #[arg(long, value_name = "BYTES", value_parser = size::parse, requires = "resume", default_value = "256M")]
    pub checkpoint_interval: u64,
    /// Read the output back and compare it with the source before it gets its name
    #[arg(long)]
    pub verify: bool,
    /// Compute the digest of the virtual content on the way, and report it: sha256, md5 or blake3; several by commas
    #[arg(long, value_name = "ALGORITHM", value_delimiter = ',')]
    pub digest: Vec<Digest>,
    /// Leave out making the output durable, to measure beside tools that do not
    #[arg(long)]
    pub no_sync: bool,
    /// Replace an existing output
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub locks: LockArgs,
    /// Print a report as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Which zeros an output leaves out.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Zeros {
    /// Those that are found by reading, too
    Scan,
    /// Those that the source's map knows of
    Map,
}

fn parse_level(text: &str) -> Result<u32, String> {
    size::number(text)
        .ok()
        .filter(|level| (0..=9).contains(level))
        .ok_or_else(|| "expected 0 to 9".to_owned())
}
