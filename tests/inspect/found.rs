//! All that is told of a Windows.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use diskport::inspect::{
    Component, Firmware, Inspection, Requirement, SourceKind, UPGRADE_PVS, UpgradeRecord, WindowsState,
    inspect,
};
use diskport::partition::FileSystem;
use diskport::{Disk, Format, MIB, Open};
use libtest_mimic::Trial;

use crate::common::tools::{Trouble, trial};
use crate::volume::Image;
use crate::windows::{install, software, system};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("found::windows_without_a_partition_table".into(), whole),
        trial("found::two_windows_and_what_is_encrypted".into(), two),
        trial("found::the_record_of_an_upgrade".into(), record),
        trial("found::states".into(), states),
        trial("found::requirements".into(), requirements),
        trial("found::the_packed_disk".into(), packed),
        trial("found::authority_on_the_system_partition".into(), esp),
    ]
}

fn image() -> Result<Image, Trouble> {
    let image = Image::make(64 * MIB, 4096, 512)?;
    let hives = (software().to_hive("SOFTWARE")?, system().to_hive("SYSTEM")?);
    image.mounted("rw", |folder| install(folder, &hives.0, &hives.1))?;
    Ok(image)
}

fn check<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), Trouble> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?}, expected {expected:?}").into()),
    }
}

fn version(component: Option<&Component>) -> Option<String> {
    component?.version.as_ref().map(ToString::to_string)
}

fn warned(found: &Inspection, of: &str) -> Result<(), Trouble> {
    match found.warnings.iter().any(|warning| warning.contains(of)) {
        true => Ok(()),
        false => Err(format!("no warning of {of}: {:#?}", found.warnings).into()),
    }
}

fn whole() -> Result<(), Trouble> {
    let image = image()?;
    let found = inspect(&image.disk()?)?;
    check("scheme", found.scheme, None)?;
    check("firmware", found.firmware, Some(Firmware::Bios))?;
    check("encrypted", found.encrypted.len(), 0)?;
    let [windows] = &found.windows[..] else { return Err(format!("{:?}", found.windows).into()) };
    check("root", windows.root.as_str(), "\\Windows")?;
    check("partition", windows.volume.partition, None)?;
    check("state", windows.state, Some(WindowsState::Clean))?;
    let is = &windows.version;
    check("product", is.product_name.as_deref(), Some("Windows 11 Enterprise"))?;
    check("number", is.number.as_deref(), Some("10.0.22631"))?;
    check("display", is.display_version.as_deref(), Some("23H2"))?;
    check("revision", is.update_build_revision, Some(4460))?;
    check("architecture", is.architecture.as_deref(), Some("AMD64"))?;
    check("install type", is.install_type.as_deref(), Some("Client"))?;
    check("authority", windows.boot_authority.as_deref(), Some("Windows UEFI CA 2023"))?;
    let page_files: Vec<_> = windows.page_files.iter().map(|file| (file.path.as_str(), file.size)).collect();
    let expected =
        vec![("C:\\pagefile.sys", Some(300_000)), ("D:\\pagefile.sys", None), ("?:\\missing.sys", None)];
    check("page files", page_files, expected)?;

    let names = |hidden: bool| {
        let entries = windows.software.iter().filter(move |entry| entry.hidden == hidden);
        entries.map(|entry| entry.name.as_str()).collect::<Vec<_>>()
    };
    let vda = "Citrix Virtual Apps and Desktops 7 2311 - Virtual Delivery Agent";
    check("software", names(false), vec!["7-Zip 23.01 (x64)", vda])?;
    let hidden = vec!["Citrix Provisioning Target Device x64 7.33.3000.1", "Update for something"];
    check("hidden software", names(true), hidden)?;

    check("vda", version(windows.vda.as_ref()).as_deref(), Some("2311.0.0.77"))?;
    check("pvs", version(windows.pvs_target.as_ref()).as_deref(), Some("7.33.3000.1"))?;
    let files = |component: &Option<Component>| {
        let sources = component.iter().flat_map(|component| &component.sources);
        let files = sources.filter(|source| source.kind == SourceKind::File);
        files
            .map(|file| (file.place.clone(), file.version.as_ref().map(ToString::to_string)))
            .collect::<Vec<_>>()
    };
    let broker = "\\Program Files\\Citrix\\Virtual Desktop Agent\\BrokerAgent.exe".to_owned();
    // 7.40 is release 2311.
    check("vda's file", files(&windows.vda), vec![(broker, Some("7.40.0.12".to_owned()))])?;
    let driver = "\\Windows\\system32\\DRIVERS\\bnistack6.sys".to_owned();
    check("pvs' file", files(&windows.pvs_target), vec![(driver, Some("7.33.3000.5".to_owned()))])?;
    warned(
        &found,
        "is of version 7.33.3000.1, but 7.33.3000.5 by \\Windows\\system32\\DRIVERS\\bnistack6.sys",
    )?;
    warned(&found, "BNDevice.exe is missing")?;
    warned(&found, "streamed last as the vDisk gold.vhdx, with a write cache of type 9")?;
    warned(&found, "\\Personality.ini")?;
    warned(&found, "bnistack, the network driver")?;
    check("disagreements", found.warnings.iter().filter(|warning| warning.contains(", but ")).count(), 1)?;

    let drivers = windows.storage_drivers.iter().map(|driver| {
        (
            driver.name.as_str(),
            driver.start.map(|start| start.name()),
            driver.present,
            driver.hindrance.as_deref(),
        )
    });
    let drivers: Vec<_> = drivers.collect();
    let expected = vec![
        ("bnistack", Some("boot"), true, None),
        (
            "ghost",
            None,
            false,
            Some("a filter of the class DiskDrive, and no service: devices of the class do not start"),
        ),
        ("partmgr", Some("boot"), true, None),
        ("pvscsi", Some("boot"), false, Some("its file lies on another volume: D:\\drivers\\pvscsi.sys")),
        ("storahci", Some("boot"), true, Some("StartOverride: its start is demand")),
        (
            "stornvme",
            Some("boot"),
            false,
            Some("its file is missing: \\Windows\\System32\\drivers\\stornvme.sys"),
        ),
        ("vioscsi", Some("demand"), true, Some("its start is demand")),
    ];
    check("drivers", drivers, expected)?;

    // As ntfs-3g counts.
    let free = image.volume()?.free()?;
    check("free", found.space.free_bytes(), free)?;
    check("paging", found.space.paging_bytes(), 300_000_u64.next_multiple_of(4096))
}

/// An MBR before two volumes with a Windows each, and one that BitLocker encrypts.
fn two() -> Result<(), Trouble> {
    let image = image()?;
    let volume = fs::read(&image.path)?;
    let mut disk = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let starts = [MIB, 66 * MIB, 131 * MIB];
    disk.as_file().set_len(140 * MIB)?;
    let mut mbr = [0; 512];
    mbr[0] = 0xfa;
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    for (number, start) in starts.iter().enumerate() {
        let entry = &mut mbr[446 + 16 * number..][..16];
        entry[0] = if number == 0 { 0x80 } else { 0 };
        entry[4] = 7;
        entry[8..12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        let sectors = if number == 2 { 8 * MIB / 512 } else { 64 * MIB / 512 };
        entry[12..].copy_from_slice(&(sectors as u32).to_le_bytes());
    }
    disk.write_all(&mbr)?;
    for start in &starts[..2] {
        disk.seek(SeekFrom::Start(*start))?;
        disk.write_all(&volume)?;
    }
    disk.seek(SeekFrom::Start(starts[2]))?;
    disk.write_all(b"\xeb\x58\x90-FVE-FS-")?;
    disk.flush()?;
    let found = inspect(&Open::new().format(Format::Raw).open(disk.path())?)?;
    check("firmware", found.firmware, Some(Firmware::Bios))?;
    let partitions: Vec<_> = found.windows.iter().map(|windows| windows.volume.partition).collect();
    check("partitions", partitions, vec![Some(1), Some(2)])?;
    let encrypted: Vec<_> = found
        .encrypted
        .iter()
        .map(|volume| (volume.partition, volume.range.start, volume.file_system))
        .collect();
    check("encrypted", encrypted, vec![(Some(3), starts[2], Some(FileSystem::BitLocker))])?;
    warned(&found, "partition 2: ")?;
    warned(&found, "partition 3: what is free is not known")
}

/// A record of an upgrade that placed files is newer than the entry of the installer before.
fn record() -> Result<(), Trouble> {
    let image = image()?;
    let record = UpgradeRecord {
        product: "Citrix Provisioning Target Device".to_owned(),
        version: "2402.0.1".to_owned(),
    };
    let path = UPGRADE_PVS.trim_start_matches('\\').replace('\\', "/");
    image.mounted("rw", |folder| {
        let path = folder.join(&path);
        fs::create_dir_all(path.parent().ok_or("a folder")?)?;
        fs::write(path.with_file_name("odd.json"), b"{")?;
        Ok(fs::write(path, record.to_json()?)?)
    })?;
    let found = inspect(&image.disk()?)?;
    let pvs = found.windows.first().and_then(|windows| windows.pvs_target.as_ref());
    check("version", version(pvs).as_deref(), Some("2402.0.1"))?;
    let sources = pvs.iter().flat_map(|pvs| &pvs.sources);
    check("its source", sources.filter(|source| source.kind == SourceKind::Record).count(), 1)?;
    warned(&found, "odd.json is no record of an upgrade")?;
    warned(&found, "is of version 2402.0.1, but 7.33.3000.1 by")
}

fn states() -> Result<(), Trouble> {
    let state = |image: &Image| -> Result<_, Trouble> {
        let found = inspect(&image.disk()?)?;
        Ok((found.windows.first().and_then(|windows| windows.state), found.space.volumes[0].free))
    };
    let clean = image()?;
    check("free of a clean one", state(&clean)?.1.is_some(), true)?;
    let hibernated = clean.copy()?;
    hibernated.mounted("rw", |folder| Ok(fs::write(folder.join("hiberfil.sys"), b"HIBR and more")?))?;
    check("hibernated", state(&hibernated)?, (Some(WindowsState::Hibernated), None))?;
    // The flag of $VOLUME_INFORMATION, at its place in record 3: behind the attribute's header of 24 bytes.
    let dirty = clean.copy()?;
    let bytes = fs::read(&dirty.path)?;
    let information =
        bytes.windows(8).position(|window| window == b"\x70\0\0\0\x28\0\0\0").ok_or("no attribute")?;
    let mut file = File::options().write(true).open(&dirty.path)?;
    file.seek(SeekFrom::Start(information as u64 + 24 + 10))?;
    file.write_all(&[1])?;
    check("dirty", state(&dirty)?, (Some(WindowsState::Dirty), None))
}

fn requirements() -> Result<(), Trouble> {
    let image = image()?;
    let found = inspect(&image.disk()?)?;
    for rule in [
        "vda>=2311",
        "VDA = 2311",
        "vda<2402",
        "vda!=2203",
        "pvs>=7.33",
        "pvs<2311",
        "pvs==2203.0.3000",
        "pvs_target>=2203",
        "windows>=10.0.17763",
        "windows>=10.0.22631.4460",
        "windows=10.0.22631",
        "state=clean",
        "state!=dirty",
        "firmware=bios",
        "scheme=none",
        "encrypted=no",
        "edition=enterprise",
        "architecture=amd64",
        "install_type=Client",
    ] {
        rule.parse::<Requirement>()?.check(&found).map_err(|unmet| format!("{rule}: {unmet}"))?;
    }
    for (rule, why) in [
        ("vda>=2402", "the Virtual Delivery Agent is of version 2311.0.0.77"),
        ("pvs>=2311", "the target device is of version 7.33.3000.1"),
        ("windows>10.0.22631.4460", "Windows is of version 10.0.22631.4460"),
        ("state=dirty", "state is clean"),
        ("firmware=uefi", "firmware is bios"),
        ("edition!=Enterprise", "edition is Enterprise"),
    ] {
        match rule.parse::<Requirement>()?.check(&found) {
            Err(unmet) if unmet.to_string().starts_with(rule) && unmet.reason.ends_with(why) => {}
            other => return Err(format!("{rule}: {other:?}").into()),
        }
    }
    for rule in [
        "",
        "vda",
        "vda>=",
        "vda>=new",
        "vda=>2311",
        "vda~2311",
        "vda>=2311.",
        "speed>=3",
        "state=tidy",
        "state>clean",
        "firmware=efi",
        "edition=",
    ] {
        if let Ok(rule) = rule.parse::<Requirement>() {
            return Err(format!("{rule} is taken for a rule").into());
        }
    }
    // Nothing is known of what is not there.
    let empty = inspect(&Disk::empty(MIB, 512))?;
    match "vda>=1".parse::<Requirement>()?.check(&empty) {
        Err(unmet) => check("reason", unmet.reason.as_str(), "no Windows was found"),
        Ok(()) => Err("an empty disk has a VDA".into()),
    }
}

/// The disk of the repository, whose hives others wrote.
fn packed() -> Result<(), Trouble> {
    let disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/windows-bios.vmdk"))?;
    let found = inspect(&disk)?;
    check("firmware", found.firmware, Some(Firmware::Bios))?;
    let [windows] = &found.windows[..] else { return Err(format!("{:?}", found.windows).into()) };
    check("partition", windows.volume.partition, Some(2))?;
    check("number", windows.version.number.as_deref(), Some("10.0.19045"))?;
    check("product", windows.version.product_name.as_deref(), Some("Windows 10 Enterprise"))?;
    check("vda", version(windows.vda.as_ref()).as_deref(), Some("2203.0.3000.1"))?;
    check("pvs", version(windows.pvs_target.as_ref()).as_deref(), Some("7.33.3000.1"))?;
    let present: Vec<_> =
        windows.storage_drivers.iter().map(|driver| (driver.name.as_str(), driver.present)).collect();
    let expected = vec![("bnistack", true), ("CFsDep2", true), ("CVhdMp", true), ("storahci", false)];
    check("drivers", present, expected)
}

/// The boot manager on an EFI system partition counts, not the one that Windows would put there.
fn esp() -> Result<(), Trouble> {
    use diskport::Ids;
    use diskport::ops::{UefiOptions, plan_convert_to_uefi};
    let disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/windows-bios.vmdk"))?;
    let plan = plan_convert_to_uefi(&disk, &UefiOptions::default(), &mut Ids::seeded(1))?;
    let found = inspect(&plan.disk)?;
    check("firmware", found.firmware, Some(Firmware::Uefi))?;
    check("windows", found.windows.len(), 1)?;
    // What is free on a FAT that is made here: all but the tables, the folders and the files.
    let esp = found.space.volumes.iter().find(|space| space.volume.file_system == Some(FileSystem::Fat32));
    let esp = esp.ok_or("no EFI system partition")?;
    let mounted =
        fatfs::FileSystem::new(Volume::of(&plan.disk, esp.volume.range.clone())?, fatfs::FsOptions::new())?;
    let stats = mounted.stats()?;
    let free = u64::from(stats.free_clusters()) * u64::from(stats.cluster_size());
    check("free on the EFI system partition", esp.free, Some(free))
}

/// A volume's bytes, for a reader of others.
struct Volume;

impl Volume {
    fn of(disk: &Disk, range: std::ops::Range<u64>) -> Result<std::io::Cursor<Vec<u8>>, Trouble> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        disk.read_at(&mut bytes, range.start)?;
        Ok(std::io::Cursor::new(bytes))
    }
}
