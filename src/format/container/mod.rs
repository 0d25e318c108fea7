//! Files that carry a disk inside: a compressed tar for Google, an OVA for hypervisors.

mod gzip;
#[cfg(feature = "digest")]
mod ova;
#[cfg(feature = "digest")]
mod ovf;
mod sparse;
mod tar;
mod tar_gz;
mod untar;

#[cfg(feature = "digest")]
pub(crate) use ova::{Inside, Ova, disk_inside};
pub(crate) use tar_gz::TarGz;
pub(crate) use untar::disk_in_tar_gz;
