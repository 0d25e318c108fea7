//! What a boot over the network leaves in an image of Citrix Provisioning.

use crate::error::Result;
use crate::windows::registry::Key;

use super::drivers::{Start, StorageDriver};
use super::files::Files;

/// Files that the target device keeps in the root directory: what personalises a device, and its write cache.
const LEFT: [(&str, &str); 4] = [
    ("\\Personality.ini", "what personalised a streamed device"),
    ("\\vdiskdif.vhdx", "a write cache"),
    ("\\.vdiskcache", "a write cache"),
    ("\\.vdiskdif", "a write cache"),
];
/// The network driver below which a streamed disk is reached, by its names.
const NETWORK_FILTERS: [&str; 2] = ["bnistack", "bnistack6"];
const AGENT: &str = "Services\\bnistack\\PvsAgent";

/// What is to be known of a Windows that was streamed, in words.
pub(super) fn left_behind(
    control_set: Option<&Key<'_>>,
    drivers: &[StorageDriver],
    files: &Files<'_>,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Some(agent) = control_set.map(|set| set.below(AGENT)).transpose()?.flatten() {
        let disk = agent.text("DiskName")?.map_or("a vDisk".to_owned(), |name| format!("the vDisk {name}"));
        let cache = agent.integer("WriteCacheType")?;
        let cache = cache.map_or(String::new(), |kind| format!(", with a write cache of type {kind}"));
        warnings.push(format!("was streamed last as {disk}{cache}; what {AGENT} says may be old"));
    }
    for (path, what) in LEFT {
        if files.has(path)? {
            warnings.push(format!("{path}, {what}, was left behind"));
        }
    }
    let filter = |driver: &&StorageDriver| {
        NETWORK_FILTERS.iter().any(|name| driver.name.eq_ignore_ascii_case(name))
            && matches!(driver.start, Some(Start::Boot | Start::System))
    };
    if let Some(driver) = drivers.iter().find(filter) {
        warnings.push(format!(
            "{}, the network driver of Citrix Provisioning, starts at boot: on a local disk it may stop Windows (7Bh)",
            driver.name
        ));
    }
    Ok(warnings)
}
