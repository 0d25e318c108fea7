//! VMDK.

mod builder;
mod model;
