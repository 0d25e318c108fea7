//! Which Windows it is.

use diskport::windows::registry::{Tree, kind};
use diskport::windows::version::WindowsVersion;

use super::open;

fn text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn windows_10_and_11() {
    let mut system = Tree::new("ROOT");
    system.entry("Select").set("Current", kind::DWORD, 2u32.to_le_bytes());
    let control = system.entry("ControlSet002").entry("Control");
    control.entry("Session Manager").entry("Environment").set(
        "PROCESSOR_ARCHITECTURE",
        kind::SZ,
        text("AMD64"),
    );
    for (build, name) in [("19045", "Windows 10 Enterprise"), ("22631", "Windows 11 Enterprise")] {
        let mut software = Tree::new("ROOT");
        let version = software.entry("Microsoft").entry("Windows NT").entry("CurrentVersion");
        version.set("ProductName", kind::SZ, text("Windows 10 Enterprise"));
        version.set("InstallationType", kind::SZ, text("Client"));
        version.set("EditionID", kind::SZ, text("Enterprise"));
        version.set("ReleaseId", kind::SZ, text("2009"));
        version.set("DisplayVersion", kind::SZ, text("22H2"));
        version.set("CurrentBuild", kind::SZ, text(build));
        version.set("UBR", kind::DWORD, 4046u32.to_le_bytes());
        let hives = [software, system.clone()].map(|tree| open(&tree.to_hive("").unwrap()).unwrap());
        let version = WindowsVersion::read(&hives[0], &hives[1]).unwrap();
        assert_eq!(version.product_name.as_deref(), Some(name));
        assert_eq!(version.edition.as_deref(), Some("Enterprise"));
        assert_eq!(version.display_version.as_deref(), Some("22H2"));
        assert_eq!(version.build, build.parse().ok());
        assert_eq!(version.update_build_revision, Some(4046));
        assert_eq!(version.architecture.as_deref(), Some("AMD64"));
    }
    let empty = open(&Tree::new("ROOT").to_hive("").unwrap()).unwrap();
    assert_eq!(WindowsVersion::read(&empty, &empty).unwrap(), WindowsVersion::default());
}
