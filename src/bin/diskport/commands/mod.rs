//! One file a command.

pub mod compare;
pub mod convert;
pub mod create;
pub mod hash;
pub mod info;
pub mod map;
mod output;
pub mod read;
pub mod reverse_image;
