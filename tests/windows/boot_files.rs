//! Boot files in a folder of the host's, with the signatures of both authorities.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use diskport::windows::boot_files::{BootFiles, SigningAuthority};
use diskport::{Error, Rule};

/// The headers of a program, and a word to tell it by.
fn program(machine: u16, subsystem: u16, word: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x100];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x40;
    bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
    bytes[0x44..0x46].copy_from_slice(&machine.to_le_bytes());
    bytes[0x40 + 24 + 68..][..2].copy_from_slice(&subsystem.to_le_bytes());
    bytes.extend(word.as_bytes());
    bytes
}

fn manager(word: &str) -> Vec<u8> {
    program(0x8664, 10, word)
}

fn put(folder: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
    fs::write(path, bytes).expect("writes");
}

/// A copy of `\Windows\Boot` as Windows has it since 2023.
fn boot(folder: &Path) {
    put(folder, "EFI/bootmgfw.efi", manager("2011"));
    put(folder, "EFI/memtest.efi", "memtest 2011");
    put(folder, "EFI/en-US/bootmgfw.efi.mui", "text");
    put(folder, "EFI_EX/bootmgfw_EX.efi", manager("2023"));
    put(folder, "EFI_EX/en-US/bootmgfw_EX.efi.mui", "text 2023");
    put(folder, "Fonts/wgl4_boot.ttf", "font");
    put(folder, "Fonts_EX/wgl4_boot_EX.ttf", "font 2023");
    put(folder, "Resources/bootres.dll", "resources");
    put(folder, "PCAT/bootmgr", "for a BIOS");
}

fn files(found: &BootFiles) -> BTreeMap<&str, &[u8]> {
    found.files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect()
}

#[test]
fn of_both_authorities() {
    let folder = tempfile::tempdir().expect("a folder");
    boot(folder.path());
    let (earlier, later) = (manager("2011"), manager("2023"));
    fn expected<'b>(manager: &'b [u8], text: &'b str, font: &'b str) -> BTreeMap<&'b str, &'b [u8]> {
        BTreeMap::from([
            ("EFI/Boot/bootx64.efi", manager),
            ("EFI/Microsoft/Boot/bootmgfw.efi", manager),
            ("EFI/Microsoft/Boot/memtest.efi", b"memtest 2011"),
            ("EFI/Microsoft/Boot/en-US/bootmgfw.efi.mui", text.as_bytes()),
            ("EFI/Microsoft/Boot/Fonts/wgl4_boot.ttf", font.as_bytes()),
            ("EFI/Microsoft/Boot/Resources/bootres.dll", b"resources"),
        ])
    }
    let found = BootFiles::in_folder(folder.path(), SigningAuthority::Pca2011).expect("there");
    assert_eq!(files(&found), expected(&earlier, "text", "font"));
    assert!(found.has_other);
    assert_eq!(found.size(), found.files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    let found = BootFiles::in_folder(folder.path(), SigningAuthority::Ca2023).expect("there");
    assert_eq!(files(&found), expected(&later, "text 2023", "font 2023"));
    assert!(found.has_other);
}

#[test]
fn the_folder_efi_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "bootmgfw.efi", manager("2011"));
    put(folder.path(), "de-DE/memtest.efi.mui", "text");
    let found = BootFiles::in_folder(folder.path(), SigningAuthority::default()).expect("there");
    let paths: Vec<_> = files(&found).into_keys().collect();
    let expected = [
        "EFI/Boot/bootx64.efi",
        "EFI/Microsoft/Boot/bootmgfw.efi",
        "EFI/Microsoft/Boot/de-DE/memtest.efi.mui",
    ];
    assert_eq!(paths, expected);
    assert!(!found.has_other);
}

#[test]
fn what_firmware_would_not_start_is_refused() {
    let refused = |bytes: Option<Vec<u8>>, authority, expected: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "EFI/other.efi", "something");
        if let Some(bytes) = bytes {
            put(folder.path(), "EFI/bootmgfw.efi", bytes);
        }
        match BootFiles::in_folder(folder.path(), authority) {
            Err(Error::NotConvertible { rule: Rule::BootFiles, reason }) => {
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    };
    let earlier = SigningAuthority::Pca2011;
    refused(None, earlier, "no boot manager signed by Microsoft Windows Production PCA 2011");
    refused(Some(manager("")), SigningAuthority::Ca2023, "no boot manager signed by Windows UEFI CA 2023");
    refused(Some(Vec::new()), earlier, "is no program");
    refused(Some(b"MZ and no more".to_vec()), earlier, "is no program");
    refused(Some(program(0x14c, 10, "")), earlier, "is for machine 0x14c");
    refused(Some(program(0x8664, 3, "")), earlier, "subsystem 3");
    // A header that lies beyond the file.
    let mut far = manager("");
    far[0x3c..0x40].fill(0xff);
    refused(Some(far), earlier, "is no program");
}

/// A link to a device, which never ends.
#[cfg(unix)]
#[test]
fn what_is_no_plain_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "bootmgfw.efi", manager("2011"));
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("zeros.bin")).expect("links");
    match BootFiles::in_folder(folder.path(), SigningAuthority::default()) {
        Err(Error::NotConvertible { rule: Rule::BootFiles, reason }) => {
            assert!(reason.contains("no plain file"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
