//! What VHD and VHDX call fixed and dynamic.

/// Whether a disk's file has room for all of it from the start: what VHD and VHDX call fixed and dynamic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// All of the disk has its place in the file.
    Fixed,
    /// Only blocks that hold data do.
    Dynamic,
}

impl Allocation {
    /// The name, as in the specifications.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Dynamic => "dynamic",
        }
    }
}
