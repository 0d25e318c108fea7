//! Disks for platforms: what each gets, and what each refuses before anything is written.

use std::path::Path;

use diskport::format::Allocation::{Dynamic, Fixed};
use diskport::format::vmdk::Subformat;
use diskport::ops::{Choices, Target};
use diskport::{Disk, Error, ErrorClass, Format, GIB, MIB};

use diskport::copy::OutputFormat;

use crate::gpt;
use crate::source::{content, noise};

const TIB: u64 = 1024 * GIB;

/// Makes the disk at `path` and opens it.
fn made(source: &Disk, target: Target, choices: &Choices, path: &Path) -> Disk {
    let plan = target.plan(source, choices).expect("a plan");
    let report = plan.copy().sync(false).create(path).expect("writes");
    assert_eq!(report.virtual_size, plan.disk.size());
    diskport::Open::new().format(plan.format.format()).open(path).expect("opens")
}

fn chosen(format: Format, subformat: Option<&str>, block_size: Option<u64>) -> Choices {
    let subformat = subformat.map(str::to_owned);
    Choices { format: Some(format), subformat, block_size, size: None }
}

#[test]
fn each_platform_gets_what_it_demands() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = noise(5 * MIB as usize + 512, 1);
    let source = gpt::raw(bytes.clone());
    let exact = bytes.len() as u64;
    for (target, format, block, size) in [
        (Target::Vsphere, OutputFormat::Vmdk(Subformat::StreamOptimized), Some(64 << 10), exact),
        (Target::VsphereDatastore, OutputFormat::Vmdk(Subformat::Vmfs), None, exact),
        (Target::Workstation, OutputFormat::Vmdk(Subformat::MonolithicSparse), Some(64 << 10), exact),
        (Target::Hyperv, OutputFormat::Vhdx(Dynamic), Some(32 * MIB), exact),
        (Target::Azure, OutputFormat::Vhd(Fixed), None, 6 * MIB),
        (Target::Xenserver, OutputFormat::Vhd(Dynamic), Some(2 * MIB), 6 * MIB),
        (Target::Aws, OutputFormat::Vmdk(Subformat::StreamOptimized), Some(64 << 10), exact),
        (Target::Pvs, OutputFormat::Vhdx(Dynamic), Some(32 * MIB), 6 * MIB),
        (Target::Raw, OutputFormat::Raw, None, exact),
    ] {
        assert_eq!(target.format(), format);
        let disk = made(&source, target, &Choices::default(), &folder.path().join(target.name()));
        let info = disk.chain()[0].info();
        assert_eq!((info.format, info.subformat), (format.format(), format.subformat()), "{target}");
        assert_eq!((info.block_size, disk.size()), (block, size), "{target}");
        let found = content(&disk);
        assert!(found[..bytes.len()] == bytes, "{target}");
        assert!(found[bytes.len()..].iter().all(|&byte| byte == 0), "{target}");
    }
}

/// What Azure's importers look at, by the offsets of the specification.
#[test]
fn azure_gets_the_footer_that_it_wants() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("azure.vhd");
    made(&gpt::raw(noise(21 * MIB as usize + 1024, 2)), Target::Azure, &Choices::default(), &path);
    let file = std::fs::read(&path).expect("reads");
    assert_eq!(file.len() as u64, 22 * MIB + 512);
    let footer = &file[22 * MIB as usize..];
    assert_eq!(&footer[..8], b"conectix");
    assert_eq!(footer[16..24], [0xff; 8], "no data offset");
    assert_eq!((&footer[28..32], &footer[36..40]), (&b"win "[..], &b"Wi2k"[..]));
    assert_eq!(footer[40..48], (22 * MIB).to_be_bytes(), "original size");
    assert_eq!(footer[48..56], (22 * MIB).to_be_bytes(), "current size");
    assert_eq!(footer[60..64], [0, 0, 0, 2], "fixed");
}

#[test]
fn what_a_platform_leaves_open_can_be_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = gpt::raw(noise(3 * MIB as usize, 3));
    for (number, (target, choices, block)) in [
        (Target::Pvs, chosen(Format::Vhd, None, None), Some(2 * MIB)),
        (Target::Pvs, chosen(Format::Vhd, None, Some(16 * MIB)), Some(16 * MIB)),
        (Target::Pvs, chosen(Format::Vhdx, Some("fixed"), None), Some(32 * MIB)),
        (Target::Hyperv, chosen(Format::Vhdx, None, Some(MIB)), Some(MIB)),
        (Target::Hyperv, chosen(Format::Vhd, Some("fixed"), None), None),
        (Target::Aws, chosen(Format::Raw, None, None), None),
    ]
    .into_iter()
    .enumerate()
    {
        let disk = made(&source, target, &choices, &folder.path().join(number.to_string()));
        let info = disk.chain()[0].info();
        assert_eq!((Some(info.format), info.block_size), (choices.format, block), "{target}");
        assert!(content(&disk)[..3 * MIB as usize] == content(&source));
    }
    for (target, choices) in [
        (Target::Azure, chosen(Format::Vhdx, None, None)),
        (Target::Azure, chosen(Format::Vhd, Some("dynamic"), None)),
        (Target::Azure, chosen(Format::Vhd, None, Some(2 * MIB))),
        (Target::Vsphere, chosen(Format::Vmdk, Some("monolithicSparse"), None)),
        (Target::Pvs, chosen(Format::Vhd, None, Some(4 * MIB))),
        (Target::Pvs, chosen(Format::Vhdx, None, Some(MIB))),
        (Target::Hyperv, chosen(Format::Vhd, None, Some(16 * MIB))),
    ] {
        let refused = target.check(&choices).expect_err("not left open");
        assert!(matches!(refused, Error::Unsupported { .. }), "{target}: {refused}");
        assert!(refused.to_string().contains(target.name()), "{refused}");
    }
}

#[test]
fn a_size_beyond_the_platforms_is_refused() {
    for (target, choices, largest) in [
        (Target::Azure, Choices::default(), 2040 * GIB),
        (Target::Xenserver, Choices::default(), 2040 * GIB),
        (Target::Hyperv, Choices::default(), 64 * TIB),
        (Target::Hyperv, chosen(Format::Vhd, None, None), 2040 * GIB),
        (Target::Pvs, chosen(Format::Vhd, None, None), 2040 * GIB),
        (Target::Vsphere, Choices::default(), 62 * TIB),
        (Target::Workstation, Choices::default(), 8 * TIB),
        (Target::Gcp, Choices::default(), 64 * TIB),
    ] {
        assert!(target.plan(&Disk::empty(largest, 512), &choices).is_ok(), "{target}");
        let refused = target.plan(&Disk::empty(largest + 512, 512), &choices).expect_err("too large");
        assert!(matches!(refused, Error::TargetLimit { .. }), "{target}: {refused}");
        assert_eq!(refused.class(), ErrorClass::Precondition);
        assert!(refused.to_string().contains(&largest.to_string()), "names the limit: {refused}");
        // The source itself may be smaller.
        let asked = Choices { size: Some(largest + 512), ..choices };
        assert!(matches!(target.plan(&Disk::empty(GIB, 512), &asked), Err(Error::TargetLimit { .. })));
    }
    let smaller = Choices { size: Some(GIB), ..Choices::default() };
    let refused = Target::Gcp.plan(&Disk::empty(GIB + 512, 512), &smaller);
    assert!(matches!(refused, Err(Error::OutputTooSmall { .. })));
}

#[test]
fn large_sectors_go_only_where_they_are_known() {
    let source = Disk::empty(GIB, 4096);
    for target in Target::all() {
        let planned = target.plan(&source, &Choices::default());
        match target {
            Target::Hyperv | Target::Pvs | Target::Raw => assert!(planned.is_ok(), "{target}"),
            _ => {
                let refused = planned.expect_err("512 bytes only");
                assert!(matches!(refused, Error::TargetLimit { .. }), "{target}: {refused}");
                assert!(refused.to_string().contains("4096") && refused.to_string().contains("512"));
            }
        }
    }
    let vhd = Target::Pvs.plan(&source, &chosen(Format::Vhd, None, None));
    assert!(matches!(vhd, Err(Error::TargetLimit { .. })));
}

/// A GPT disk whose one partition, and an MBR disk whose second one, begins with `boot`.
fn volumes(boot: &[u8]) -> [Disk; 2] {
    let put = |bytes: &mut Vec<u8>| bytes[MIB as usize..][..boot.len()].copy_from_slice(boot);
    let gpt = gpt::gpt_disk(8 * MIB as usize, put);
    let mut mbr = vec![0; 8 * MIB as usize];
    mbr[446 + 16 + 4] = 7;
    mbr[446 + 16 + 8..446 + 16 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    put(&mut mbr);
    [gpt, gpt::raw(mbr)]
}

#[test]
fn an_encrypted_volume_is_seen() {
    for (boot, kind) in [(&b"\xeb\x58\x90-FVE-FS-"[..], "BitLocker"), (&b"LUKS\xba\xbe\0\x02"[..], "LUKS")] {
        for source in volumes(boot) {
            for target in Target::all() {
                let planned = target.plan(&source, &Choices::default());
                match target {
                    Target::Azure | Target::Gcp | Target::Aws | Target::Pvs => {
                        let refused = planned.expect_err("encrypted");
                        assert!(matches!(refused, Error::TargetLimit { .. }), "{target}: {refused}");
                        assert!(refused.to_string().contains(kind), "{refused}");
                    }
                    _ => {
                        let notes = planned.expect("carried").adjustments;
                        let seen = |note: &&String| note.contains("encryption seen") && note.contains(kind);
                        assert_eq!(notes.iter().filter(seen).count(), 1, "{target}: {notes:?}");
                    }
                }
            }
        }
    }
    for source in volumes(b"\xeb\x52\x90NTFS    ") {
        assert!(Target::Azure.plan(&source, &Choices::default()).is_ok());
    }
}

#[test]
fn the_backup_gpt_moves_and_is_told_of() {
    let size = 8 * MIB + 512;
    let source = gpt::gpt_disk(size as usize, |_| {});
    for target in [Target::Azure, Target::Gcp] {
        let plan = target.plan(&source, &Choices::default()).expect("a plan");
        assert!(
            plan.adjustments.iter().any(|line| line.contains("backup GPT moved")),
            "{:?}",
            plan.adjustments
        );
        assert!(plan.adjustments.iter().any(|line| line.contains(&format!("grown from {size}"))));
    }
    let plan = Target::Azure.plan(&source, &Choices::default()).expect("a plan");
    gpt::check(&source, &plan.disk);
    let unchanged = Target::Raw.plan(&source, &Choices::default()).expect("a plan");
    assert!(unchanged.adjustments.is_empty());
}
