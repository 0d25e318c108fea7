//! Partition tables: read, validated, converted, written.

mod convert;
mod disks;
mod fat;
mod hostile;
mod mbr;
mod random;
mod resize;
mod space;
mod views;
