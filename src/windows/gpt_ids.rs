//! What the partitions of a disk are called once it is a GPT disk.

use uuid::Uuid;

/// The names of a disk and its partitions, from those of an MBR disk to those of a GPT disk. Windows keeps both kinds
/// in its boot store and in its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptIds {
    /// The signature in the MBR.
    pub signature: u32,
    /// The GPT disk.
    pub disk: Uuid,
    /// Its partitions: the first byte of each, and its id.
    pub partitions: Vec<(u64, Uuid)>,
}

impl GptIds {
    /// The partition that begins at this byte.
    pub fn partition(&self, offset: u64) -> Option<Uuid> {
        self.partitions.iter().find(|&&(start, _)| start == offset).map(|&(_, id)| id)
    }
}
