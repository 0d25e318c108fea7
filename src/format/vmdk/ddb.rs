//! The disk database: the descriptor's keys that begin with `ddb.`.

use uuid::Uuid;

use super::descriptor::{Text, shown};
use crate::disk::Geometry;
use crate::error::{Problem, Result};
use crate::strict;

/// What a reader needs of the disk database.
#[derive(Debug, Default)]
pub(super) struct Ddb {
    cylinders: Option<u32>,
    heads: Option<u32>,
    sectors: Option<u32>,
    /// VirtualBox's identities of the image and its parent.
    pub(super) uuid_image: Option<Uuid>,
    pub(super) uuid_parent: Option<Uuid>,
    pub(super) logical_sector_size: Option<u32>,
    pub(super) physical_sector_size: Option<u32>,
}

impl Ddb {
    /// Takes the value of `ddb.<key>`; `key` is in lower case.
    pub(super) fn set(&mut self, text: &Text<'_>, key: &str, value: &str, at: usize) -> Result<()> {
        let number = || strict::decimal(value);
        match key {
            "geometry.cylinders" => self.cylinders = number(),
            "geometry.heads" => self.heads = number(),
            "geometry.sectors" => self.sectors = number(),
            "uuid.image" => self.uuid_image = uuid(text, value, at)?,
            "uuid.parent" => self.uuid_parent = uuid(text, value, at)?,
            "logicalsectorsize" => self.logical_sector_size = Some(sector_size(text, value, at)?),
            "physicalsectorsize" => self.physical_sector_size = Some(sector_size(text, value, at)?),
            "iofilters" if value.to_ascii_lowercase().contains("vmwarevmcrypt") => {
                return Err(text.defect(
                    Problem::Unsupported,
                    at,
                    "a disk that is not encrypted",
                    shown(value),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// The geometry, where it is whole.
    pub(super) fn geometry(&self) -> Option<Geometry> {
        Some(Geometry { cylinders: self.cylinders?, heads: self.heads?, sectors: self.sectors? })
    }
}

/// A UUID; `None` for one of zeros, by which VirtualBox says that there is none.
fn uuid(text: &Text<'_>, value: &str, at: usize) -> Result<Option<Uuid>> {
    match strict::guid(value) {
        Some(uuid) => Ok(Some(uuid).filter(|uuid| !uuid.is_nil())),
        None if value.is_empty() => Ok(None),
        None => Err(text.defect(Problem::Descriptor, at, "a UUID", shown(value))),
    }
}

fn sector_size(text: &Text<'_>, value: &str, at: usize) -> Result<u32> {
    match strict::decimal(value) {
        Some(size @ (512 | 4096)) => Ok(size),
        _ => Err(text.defect(Problem::Unsupported, at, "sectors of 512 or 4096 bytes", shown(value))),
    }
}
