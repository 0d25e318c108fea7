//! What several formats share: tables, bitmaps, the space of a file, an image that is nothing but its bytes.

pub(crate) mod bitmap;
pub(crate) mod flat;
pub(crate) mod space;
pub(crate) mod table;
