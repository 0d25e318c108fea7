//! Partition tables: read, validated, converted, written.

mod convert;
mod disks;
mod hostile;
mod mbr;
mod random;
mod views;
