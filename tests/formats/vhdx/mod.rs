//! VHDX.

pub mod builder;
pub mod children;
mod hostile;
mod hostile_log;
pub mod log;
pub mod model;
mod oddities;
mod repairing;
pub mod writing;

use std::sync::Arc;

use diskport::storage::{Explicit, MemoryStorage, ReadAt};
use diskport::{Disk, Open};

/// Opens an image in memory.
fn open(bytes: Vec<u8>) -> diskport::Result<Disk> {
    Open::new().open(MemoryStorage::new(bytes))
}

/// Options that find one parent under the name that the builder gives it.
fn over(parent: Vec<u8>) -> Open {
    let parent: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(parent));
    Open::new().resolver(Explicit::from([("parent.vhdx", parent)]))
}
