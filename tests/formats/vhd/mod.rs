//! VHD.

pub mod builder;
mod check;
pub mod child;
mod cost;
mod crash;
mod faults;
mod hostile;
mod model;
mod oddities;
mod write;
