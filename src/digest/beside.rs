//! Digests computed beside a copy, of the data on their way.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::Digest;
use super::hashing::Hashing;
use crate::error::{Error, Result};
use crate::job::Cancel;
use crate::sink::{Packet, Watcher};

/// Packets that wait for a digest: where it is the slowest, the copy waits for it.
const WAITING: usize = 2;

/// Digests, each on a thread of its own: the copy loses no time where a core is free.
pub(crate) struct Beside {
    digests: Vec<(Digest, JoinHandle<Result<String>>)>,
}

impl Beside {
    /// Begins the digests of a content of `size` bytes. The watchers are to be shown all of it, in order, and dropped.
    pub(crate) fn start(algorithms: &[Digest], size: u64, cancel: &Cancel) -> Result<(Self, Vec<Watcher>)> {
        let mut watchers = Vec::new();
        let mut digests = Vec::new();
        for &algorithm in algorithms {
            let (watcher, packets) = sync_channel(WAITING);
            let hashing = Hashing::new(algorithm, size, cancel);
            let thread = std::thread::Builder::new().spawn(move || run(hashing, &packets));
            digests.push((algorithm, thread.map_err(|e| Error::io("start", "a thread for the digest", e))?));
            watchers.push(watcher);
        }
        Ok((Self { digests }, watchers))
    }

    /// Waits for the digests.
    pub(crate) fn finish(self) -> Result<Vec<(Digest, String)>> {
        self.digests
            .into_iter()
            .map(|(digest, thread)| {
                let hex = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                Ok((digest, hex))
            })
            .collect()
    }
}

/// Hashes what comes, until it is said that no more will.
fn run(mut hashing: Hashing, packets: &Receiver<Option<Arc<Packet>>>) -> Result<String> {
    loop {
        match packets.recv() {
            Ok(Some(packet)) => hashing.put(&packet)?,
            Ok(None) => return hashing.finish(),
            // The copy was given up.
            Err(_) => return Err(Error::Cancelled),
        }
    }
}
