//! VHD.

mod builder;
mod crash;
mod hostile;
mod model;
mod oddities;
mod write;
