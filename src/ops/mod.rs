//! The operations on whole images: short stories that call the layers below.

mod demands;
mod reverse_image;
mod target;

pub use reverse_image::{Plan, grow, plan_reverse_image};
pub use target::{Choices, Target};
