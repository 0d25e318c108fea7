//! Files of a disk by their paths, as a person names them: on the volume of Windows, or on another.

mod difference;
mod extract;
mod find;
mod path;
mod walk;

pub use difference::{Compared, ContentDifference, Side, differences};
pub use extract::{Extract, Extracted};
pub use find::{FileVolume, find_volume, windows_volumes};
pub use path::FilePath;
pub use walk::{Node, NodeKind, Walk};
