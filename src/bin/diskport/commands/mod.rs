//! One file a command.

pub mod check;
pub mod compact;
pub mod compare;
mod conversion;
pub mod convert;
pub mod convert_to_gpt;
pub mod convert_to_uefi;
pub mod create;
pub mod diff;
pub mod ebs_blocks;
pub mod free;
pub mod hash;
pub mod info;
pub mod inspect;
pub mod map;
pub mod merge;
mod output;
pub mod partitions;
pub mod plan;
pub mod read;
pub mod rebase;
pub mod resize;
pub mod reverse_image;
pub mod update;
pub mod write;
