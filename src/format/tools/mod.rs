//! What several formats share: what they are told, reading structures, tables, bitmaps, the space of a file, an image that is nothing but its bytes.

pub(crate) mod allocation;
pub(crate) mod bitmap;
pub(crate) mod context;
pub(crate) mod flat;
mod parse;
pub(crate) mod positions;
pub(crate) mod space;
pub(crate) mod table;
