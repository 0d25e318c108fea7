//! What everything that can last has: how far it has come, a way to stop it, and how fast it may go.

mod cancel;
mod progress;
mod throttle;

pub use cancel::Cancel;
pub(crate) use cancel::Stoppable;
pub use progress::Progress;
pub(crate) use throttle::Throttle;
