//! The operations on whole images: short stories that call the layers below.

mod reverse_image;

pub use reverse_image::{Plan, Target, grow, plan_reverse_image};
