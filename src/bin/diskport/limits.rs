//! What the system grants the process.

/// Open files that are asked for at most: macOS refuses more than its OPEN_MAX, and no disk has so many pieces.
#[cfg(unix)]
const FILES: u64 = 10_240;

/// Raises the soft limit of open files towards the hard one: a disk in pieces of 2 GB has hundreds of files, and the
/// usual 1024 (256 on macOS) is for programs that call `select`.
pub fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        let wanted = limit.maximum.map_or(FILES, |hard| hard.min(FILES));
        if limit.current.is_some_and(|soft| soft < wanted) {
            limit.current = Some(wanted);
            // Few disks need it: no reason to refuse to work.
            let _ = setrlimit(Resource::Nofile, limit);
        }
    }
}
