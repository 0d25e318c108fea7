//! The operations on whole images: short stories that call the layers below.

mod convert_to_gpt;
mod convert_to_uefi;
mod demands;
mod resize;
mod reverse_image;
mod target;

pub use convert_to_gpt::{GptPlan, plan_convert_to_gpt};
pub use convert_to_uefi::{EspChoice, EspPlace, UefiOptions, UefiPlan, plan_convert_to_uefi};
pub use resize::Resized;
pub use reverse_image::{TargetPlan, grow, plan_reverse_image};
pub use target::{Choices, Target};
