//! Names that everything shares, and that know nothing of each other: formats, references, rules, identities, locks.

mod bits;
mod format;
#[cfg(feature = "digest")]
mod hex;
mod hint;
mod ids;
mod lock;
mod reference;
mod rule;
mod shown;
mod units;
mod upcase;
mod zero;

pub(crate) use bits::ClearRuns;
pub use format::{Format, UnknownFormat};
#[cfg(feature = "digest")]
pub(crate) use hex::hex;
pub use hint::Hint;
pub use ids::Ids;
pub use lock::{LockHolder, LockMode, LockState};
pub use reference::ReferenceKind;
pub use rule::Rule;
pub use shown::Shown;
pub use units::{GIB, KIB, MIB};
pub(crate) use upcase::upper;
pub(crate) use zero::ZEROS;
pub use zero::is_zero;
