//! The commands that look at what lies on the volumes of a disk.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use diskport::windows::files::{FilePath, FileVolume, find_volume};
use diskport::windows::ntfs::Volume;

use super::ImageArgs;
use crate::failure::Failure;

/// An image, and a volume in it.
#[derive(Args)]
pub struct VolumeArgs {
    #[command(flatten)]
    pub image: ImageArgs,
    /// The number of the volume's partition, as `partitions` shows it; by default the volume of Windows
    #[arg(long, value_name = "N")]
    pub partition: Option<u32>,
}

impl VolumeArgs {
    /// Opens the image, and the volume.
    pub fn open(&self) -> Result<(FileVolume, Volume), Failure> {
        Ok(find_volume(&self.image.open()?, self.partition)?)
    }
}

#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// A directory or a file: C:\dir\file or /dir/file
    #[arg(default_value = "/")]
    pub file: FilePath,
    /// Attributes, size and time, too, and where links lead
    #[arg(short = 'l', long)]
    pub long: bool,
    /// What directories hold, too, and all below them
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Cat {
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// The file: C:\dir\file or /dir/file, or an alternate stream of one: /dir/file:stream
    pub file: FilePath,
}

#[derive(Args)]
pub struct Get {
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// The file, or an alternate stream of one, or with -r a directory
    pub file: FilePath,
    /// What it becomes
    pub destination: PathBuf,
    /// A directory, with all below it but links and alternate streams
    #[arg(short = 'r', long)]
    pub recursive: bool,
    /// Replace an existing file
    #[arg(long, conflicts_with = "recursive")]
    pub overwrite: bool,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What is done with the registry, and options in any order.
#[derive(Args)]
pub struct Registry {
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// What is done
    #[arg(value_enum)]
    pub action: RegistryAction,
    /// The key: HKLM\SOFTWARE\… CurrentControlSet is the one that Windows starts with
    pub key: String,
    /// A value of the key; @ is the default value
    pub value: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What is done with the registry.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegistryAction {
    /// Show a key with its values and the names of the keys below it, or one value
    Get,
}
