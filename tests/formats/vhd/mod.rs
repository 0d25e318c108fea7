//! VHD.

mod builder;
mod hostile;
mod model;
mod oddities;
mod write;
