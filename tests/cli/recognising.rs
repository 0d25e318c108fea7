//! What a file is taken for: by its content, but what may be a raw disk is the guest's own, and what is no disk as it stands
//! is none by any name.

use std::fs;

use super::place::{DIFFER, DONE, PRECONDITION, Place, REFUSED, error_text, text};

const MIB: usize = 1 << 20;

/// Names of raw disks.
const RAW_NAMES: [&str; 6] = ["disk.img", "disk.RAW", "disk.dd", "disk.Bin", "a.b.iMg", "disk.vhd.raw"];

/// Images of every kind that has a signature, with the name of their format.
fn images(place: &Place) -> Vec<(&'static str, &'static str)> {
    let source = place.raw("source.raw");
    let kinds = [
        ("fixed.vhd", "VHD", &["--subformat", "fixed"][..]),
        ("dynamic.vhd", "VHD", &[]),
        ("dynamic.vhdx", "VHDX", &[]),
        ("sparse.vmdk", "VMDK", &[]),
        ("stream.vmdk", "VMDK", &["--subformat", "streamOptimized"]),
        ("text.vmdk", "VMDK", &["--subformat", "monolithicFlat"]),
    ];
    for (name, _, options) in kinds {
        place.run(&[&["convert", text(&source), name], options].concat(), DONE);
    }
    kinds.map(|(name, format, _)| (name, format)).into()
}

/// A raw name over a disk format's signature: refused, naming both, until the format is said.
#[test]
fn what_may_be_a_raw_disk_is_no_container_until_that_is_said() {
    let place = Place::new();
    for (image, format) in images(&place) {
        for name in RAW_NAMES {
            fs::copy(place.path(image), place.path(name)).expect("copies");
            let before = fs::read(place.path(name)).expect("reads");
            for arguments in [
                &["info", name][..],
                &["hash", name],
                &["map", name],
                &["check", name],
                &["check", "--repair", name],
                &["partitions", name],
                &["convert", name, "out.vhdx"],
                &["compare", name, "source.raw"],
                &["compare", "source.raw", name],
                &["create", "child.vhd", "--parent", name],
                &["resize", name, "64M"],
                &["compact", name],
                &["write", name, "--offset", "0", "--zeroes", "512"],
                &["update", "source.raw", name],
            ] {
                let said = error_text(&place.run(arguments, REFUSED));
                let both = format!("{name}: matches more than one format: raw, {format}");
                assert!(said.contains(&both) && said.contains("--format"), "{arguments:?}: {said}");
                assert!(!place.path("out.vhdx").exists() && !place.path("child.vhd").exists());
            }
            assert!(fs::read(place.path(name)).expect("reads") == before, "nothing is written");
            // Either word opens it.
            let container = format.to_lowercase();
            let as_container = ["compare", "source.raw", name, "--format-b", &container];
            place.run(&as_container, DONE);
            place.run(&["convert", "--source-format", &container, name, "out.vhdx"], DONE);
            place.run(&["compare", "out.vhdx", "source.raw"], DONE);
            let info = place.json(&["info", "--json", "--format", "raw", name]);
            assert_eq!(info["virtual_size"], before.len(), "{name}");
            for name in [name, "out.vhdx"] {
                fs::remove_file(place.path(name)).expect("removes");
            }
        }
        // The same content by any other name is what it is.
        fs::copy(place.path(image), place.path("disk.other")).expect("copies");
        place.run(&["compare", "disk.other", "source.raw"], DONE);
    }
}

/// A VHD that lies over another file, which a guest has written into its own raw disk.
#[test]
fn a_guest_reads_no_neighbour() {
    let place = Place::new();
    place.run(&["create", "base.vhd", "--size", "4M"], DONE);
    place.feed(&["write", "base.vhd", "--offset", "0"], &[b's'; 4096], DONE);
    place.run(&["create", "evil.vhd", "--parent", "base.vhd"], DONE);
    let evil = fs::read(place.path("evil.vhd")).expect("reads");
    for name in ["guest.img", "guest.bin", "guest-flat.vmdk", "guest-f001.vmdk"] {
        place.file(name, &evil);
        place.run(&["read", name, "--offset", "0", "--length", "512"], REFUSED);
        let raw = ["read", name, "--format", "raw", "--offset", "0", "--length", "512"];
        assert!(place.run(&raw, DONE).stdout == evil[..512]);
    }
    #[cfg(unix)]
    {
        // By whatever name of the two.
        for (name, file) in [("link", "guest.img"), ("link.vhd", "guest.img"), ("link.img", "evil.vhd")] {
            std::os::unix::fs::symlink(place.path(file), place.path(name)).expect("links");
            place.run(&["info", name], REFUSED);
        }
        std::os::unix::fs::symlink("evil.vhd", place.path("other.vhd")).expect("links");
        place.run(&["info", "other.vhd"], DONE);
    }
}

/// A parent of which no identity is recorded is opened where the caller names it, and then as a raw disk.
#[test]
fn a_raw_parent_is_named_by_the_caller() {
    let place = Place::new();
    let content = fs::read(place.raw("base.raw")).expect("reads");
    let said = error_text(&place.run(&["create", "child.vhd", "--parent", "base.raw"], DONE));
    assert!(said.contains("does not open by itself"), "{said}");
    let shown = place.json(&["info", "--json", "child.vhd"]);
    assert!(shown["parent"]["resolved"].is_null());
    let said = error_text(&place.run(&["hash", "child.vhd"], PRECONDITION));
    assert!(said.contains("base.raw") && said.contains("no identity"), "{said}");
    assert!(said.contains("--parent PATH") && said.contains("--resolve any"), "{said}");
    place.run(&["hash", "child.vhd", "--resolve", "none"], PRECONDITION);
    for named in [&["--parent", "base.raw"][..], &["--resolve", "any"]] {
        place.run(&[&["compare", "child.vhd", "base.raw"], named].concat(), DONE);
    }
    // Over that child only --resolve reaches the raw disk.
    place.run(&["create", "grandchild.vhd", "--parent", "child.vhd", "--resolve", "any"], DONE);
    place.run(&["compare", "grandchild.vhd", "base.raw"], PRECONDITION);
    place.run(&["compare", "grandchild.vhd", "base.raw", "--resolve", "any"], DONE);

    // A guest writes a container's signature into the disk below.
    place.run(&["create", "disk.vhdx", "--size", "4M"], DONE);
    let mut forged = fs::read(place.path("disk.vhdx")).expect("reads");
    forged.resize(content.len(), 0);
    place.file("base.raw", &forged);
    let read = ["read", "child.vhd", "--offset", "0", "--length", "4096"];
    for named in [&["--parent", "base.raw"][..], &["--resolve", "any"]] {
        let said = error_text(&place.run(&[&read, named].concat(), REFUSED));
        assert!(said.contains("base.raw: matches more than one format: raw, VHDX"), "{said}");
        let raw = [&read, named, &["--parent-format", "raw"]].concat();
        assert!(place.run(&raw, DONE).stdout == forged[..4096]);
    }
    place.file("base.raw", &[b"QFI\xfb".as_slice(), &vec![0; content.len() - 4]].concat());
    let said = error_text(&place.run(&[&read[..], &["--parent", "base.raw"]].concat(), REFUSED));
    assert!(said.contains("qcow2"), "{said}");
}

/// A header of tar, of the old kind or the new one.
fn tar(name: &str, magic: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(b"00000001000");
    header[148..156].fill(b' ');
    header[257..257 + magic.len()].copy_from_slice(magic);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

fn at(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&vec![0; offset], bytes].concat()
}

/// Bytes that the file ends with.
fn ending(bytes: &[u8]) -> Vec<u8> {
    [&vec![0x5a; MIB], bytes, &vec![0; 512 - bytes.len()]].concat()
}

#[test]
fn what_is_no_disk_as_it_stands_is_refused_by_name() {
    let cpio = [&[0xc7, 0x71][..], &[1; 18], &[5, 0], &[0; 4], b"file\0"].concat();
    let cases: &[(&str, &str, Vec<u8>)] = &[
        ("qcow", "qemu-img", at(0, b"QFI\xfb\0\0\0\x01")),
        ("qcow2", "qemu-img", at(0, b"QFI\xfb\0\0\0\x02")),
        ("qcow2", "qemu-img", at(0, b"QFI\xfb\0\0\0\x03")),
        ("QED", "qemu-img", at(0, b"QED\0\0\0\x01\0")),
        (
            "VDI",
            "VBoxManage",
            [at(0, b"<<< Oracle VM VirtualBox Disk Image >>>\n"), at(24, &[0x7f, 0x10, 0xda, 0xbe])].concat(),
        ),
        ("VDI", "VBoxManage", at(64, &[0x7f, 0x10, 0xda, 0xbe])),
        ("Parallels", "qemu-img", at(0, b"WithoutFreeSpace\x02\0\0\0")),
        ("Parallels", "qemu-img", at(0, b"WithouFreSpacExt\x02\0\0\0")),
        ("Bochs", "qemu-img", at(0, b"Bochs Virtual HD Image\0")),
        ("cloop", "qemu-img", at(0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r")),
        ("Android", "simg2img", at(0, &[0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0])),
        ("DMG", "hdiutil", ending(b"koly\0\0\0\x04\0\0\x02\0")),
        ("encrypted DMG", "hdiutil", at(0, b"encrcdsa")),
        ("E01", "ewfexport", at(0, b"EVF\x09\x0d\x0a\xff\0")),
        ("Ex01", "ewfexport", at(0, b"EVF2\x0d\x0a\x81\0")),
        ("AFF", "affconvert", at(0, b"AFF10\x0d\x0a\0")),
        ("WIM", "wimapply", at(0, b"MSWIM\0\0\0")),
        ("FFU", "dism", at(0, b"\x20\0\0\0SignedImage ")),
        ("Partclone", "restore", at(0, b"partclone-image\0\0")),
        ("gzip", "gzip -d", at(0, &[0x1f, 0x8b, 0x08, 0])),
        ("xz", "xz -d", at(0, b"\xfd7zXZ\0\0\x04")),
        ("LZMA", "xz -d", at(0, &[0x5d, 0, 0, 0x80, 0, 255, 255, 255, 255, 255, 255, 255, 255])),
        ("lzip", "lzip -d", at(0, b"LZIP\x01\x0c")),
        ("zstd", "zstd -d", at(0, &[0x28, 0xb5, 0x2f, 0xfd])),
        ("bzip2", "bzip2 -d", at(0, b"BZh91AY&SY")),
        ("bzip2", "bzip2 -d", at(0, b"BZh1\x17\x72\x45\x38\x50\x90")),
        ("LZ4", "lz4 -d", at(0, &[0x04, 0x22, 0x4d, 0x18])),
        ("lzop", "lzop -d", at(0, b"\x89LZO\0\x0d\x0a\x1a\x0a")),
        ("zip", "unzip", at(0, b"PK\x03\x04\x14\0")),
        ("zip", "unzip", at(0, b"PK\x05\x06\0\0")),
        ("7z", "7z x", at(0, b"7z\xbc\xaf\x27\x1c\0\x04")),
        ("RAR", "7z x", at(0, b"Rar!\x1a\x07\0")),
        ("RAR", "7z x", at(0, b"Rar!\x1a\x07\x01\0")),
        ("cabinet", "7z x", at(0, b"MSCF\0\0\0\0")),
        ("tar", "tar -xf", tar("disk.raw", b"ustar\x0000")),
        ("tar", "tar -xf", tar("disk.raw", b"ustar  \0")),
        ("tar", "tar -xf", tar("disk.raw", b"")),
        ("OVA", "tar -xf", tar("machine.ovf", b"ustar\x0000")),
        ("cpio", "cpio -i", at(0, b"070701000000")),
        ("cpio", "cpio -i", at(0, b"070707000000")),
        ("cpio", "cpio -i", cpio),
        ("web page", "download", at(0, b"<!DOCTYPE html>\n<html>")),
    ];
    let place = Place::new();
    for (format, advice, bytes) in cases {
        let mut content = bytes.clone();
        content.resize(content.len().next_multiple_of(512).max(2048), 0);
        for name in ["cloud.img", "cloud.RAW", "cloud.dd", "cloud.bin", "cloud.vhd", "cloud.qcow2", "cloud"] {
            place.file(name, &content);
            for arguments in [&["info", name][..], &["convert", name, "out.vhd", "--target", "azure"]] {
                let said = error_text(&place.run(arguments, REFUSED));
                assert!(said.contains(format) && said.contains(advice), "{format}: {said}");
                assert!(!place.path("out.vhd").exists(), "{format}");
            }
            let info = place.json(&["info", "--json", "--format", "raw", name]);
            assert_eq!(info["virtual_size"], content.len());
            fs::remove_file(place.path(name)).expect("removes");
        }
    }
}

/// What is a disk or a volume as it stands is no container, though others know it by a signature.
#[test]
fn disks_and_volumes_are_raw_as_they_stand() {
    let boot = at(510, &[0x55, 0xaa]);
    let iso = at(0x8000, b"\x01CD001\x01");
    let hybrid = [&boot[..], &iso[512..]].concat();
    let cases: &[(&str, Vec<u8>)] = &[
        ("zeros", vec![0; 512]),
        ("MBR", boot.clone()),
        ("GPT", [&boot[..], b"EFI PART\0\0\x01\0"].concat()),
        ("ISO 9660", iso),
        ("hybrid ISO", hybrid),
        ("UDF", at(0x8000, b"\0BEA01\x01")),
        ("LUKS1", at(0, b"LUKS\xba\xbe\0\x01")),
        ("LUKS2", at(0, b"LUKS\xba\xbe\0\x02")),
        ("squashfs", at(0, b"hsqs")),
        ("cramfs", at(0, &[0x45, 0x3d, 0xcd, 0x28])),
        ("romfs", at(0, b"-rom1fs-")),
        ("erofs", at(1024, &[0xe2, 0xe1, 0xf5, 0xe0])),
        ("ext4", at(1024 + 56, &[0x53, 0xef])),
        ("XFS", at(0, b"XFSB")),
        ("Btrfs", at(0x1_0040, b"_BHRfS_M")),
        ("NTFS", at(3, b"NTFS    ")),
        ("FAT", at(0, b"\xeb\x3c\x90MSDOS5.0")),
        ("exFAT", at(3, b"EXFAT   ")),
        ("swap", at(4086, b"SWAPSPACE2")),
        ("LVM", at(512, b"LABELONE")),
        ("HFS+", at(1024, b"H+\0\x04")),
        ("APFS", at(32, b"NXSB")),
        ("begins like a cpio", at(0, &[0xc7, 0x71, 0, 0])),
        ("begins like a zstd", at(0, &[0x28, 0xb5, 0x2f])),
        ("gzip inside", at(512, &[0x1f, 0x8b, 0x08])),
        ("VHD inside", at(1024, b"conectix")),
    ];
    let place = Place::new();
    for (what, bytes) in cases {
        let mut content = bytes.clone();
        content.resize(MIB, 0);
        for name in ["disk.img", "disk.raw", "disk.dd", "disk.bin"] {
            place.file(name, &content);
            assert_eq!(place.json(&["info", "--json", name])["format"], "raw", "{what}");
            place.run(&["convert", name, "out.vhdx", "--overwrite"], DONE);
            place.run(&["compare", name, "out.vhdx"], DONE);
        }
    }
}

/// A fixed VHD whose footer is not at the file's end any more is pointed to the repair, which works.
#[test]
fn a_fixed_vhd_that_was_padded_or_cut_is_repaired() {
    let place = Place::new();
    let source = place.raw("source.raw");
    place.run(&["convert", text(&source), "good.vhd", "--subformat", "fixed"], DONE);
    let good = fs::read(place.path("good.vhd")).expect("reads");
    let padded = |len: usize, byte: u8| [&good[..], &vec![byte; len]].concat();
    let cases: &[(&str, Vec<u8>, bool)] = &[
        ("a MiB of zeros", padded(MIB, 0), true),
        ("a sector of zeros", padded(512, 0), true),
        ("a byte", padded(1, 0), true),
        ("an odd number of bytes", padded(1000, 0), true),
        ("two MiB of zeros, nearly", padded(2 * MIB - 512, 0), true),
        ("a MiB of something", padded(MIB, b'x'), false),
        ("one byte is cut off: the old kind of footer", good[..good.len() - 1].to_vec(), true),
        ("two bytes are cut off", good[..good.len() - 2].to_vec(), true),
        ("what is reserved is cut off", good[..good.len() - 400].to_vec(), true),
    ];
    for (what, bytes, is_lossless) in cases {
        for name in ["disk.vhd", "disk.img", "disk"] {
            place.file(name, bytes);
            let is_read = bytes.len() + 1 == good.len();
            if !is_read {
                let said = error_text(&place.run(&["info", name], REFUSED));
                assert!(
                    said.contains("footer") && said.contains("check --format vhd --repair"),
                    "{what}: {said}"
                );
                assert_eq!(said.contains("--allow-loss"), !is_lossless, "{what}: {said}");
            }
            place.run(&["check", "--format", "vhd", name], DIFFER);
            let repair = &["check", "--format", "vhd", "--repair", name][..];
            if !is_lossless {
                place.run(repair, DIFFER);
                assert!(fs::read(place.path(name)).expect("reads") == *bytes, "{what}");
            }
            let loss = if *is_lossless { &[][..] } else { &["--allow-loss"] };
            place.run(&[repair, loss].concat(), DONE);
            assert!(fs::read(place.path(name)).expect("reads") == good, "{what}");
            fs::remove_file(place.path(name)).expect("removes");
        }
    }
    // A hole of any size behind it.
    for name in ["disk.vhd", "disk.img"] {
        place.file(name, &good);
        let file = fs::File::options().write(true).open(place.path(name)).expect("opens");
        file.set_len(1 << 40).expect("a sparse file");
        let said = error_text(&place.run(&["info", name], REFUSED));
        assert!(said.contains("check --format vhd --repair"), "{said}");
        place.run(&["check", "--format", "vhd", "--repair", name], DONE);
        assert!(fs::read(place.path(name)).expect("reads") == good);
        // As a raw disk it is read as it stands.
        file.set_len(good.len() as u64 + 512).expect("grows");
        assert_eq!(
            place.json(&["info", "--json", "--format", "raw", name])["virtual_size"],
            good.len() + 512
        );
    }
}
