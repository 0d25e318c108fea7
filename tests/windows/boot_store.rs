//! Boot stores: device elements byte for byte, and the store of a BIOS disk made one for UEFI.

use diskport::Error;
use diskport::windows::GptIds;
use diskport::windows::bcd::{
    Device, DevicePartition, DeviceTarget, Element, Installation, Store, UnresolvedReason, element_type,
    object, object_type,
};
use diskport::windows::registry::{Tree, kind};
use uuid::{Uuid, uuid};

use super::open;

const SIGNATURE: u32 = 0xddba_6bbb;
const DISK: Uuid = uuid!("0b2394a9-095e-487d-8d48-719ecd4d78ca");
const ESP: Uuid = uuid!("36be3955-63bf-4068-a6ab-00195cca3a22");
const WINDOWS: Uuid = uuid!("8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b");
const RECOVERY: Uuid = uuid!("6cdfcd69-de75-4490-8f99-5a84bf264917");
/// First bytes of the partitions: of the system, of Windows, of its recovery.
const PLACES: [u64; 3] = [1 << 20, 500 << 20, 90 << 30];

fn ids() -> GptIds {
    let partitions = PLACES.into_iter().zip([ESP, WINDOWS, RECOVERY]).collect();
    GptIds { signature: SIGNATURE, disk: DISK, partitions }
}

fn mbr(offset: u64) -> DeviceTarget {
    DeviceTarget::Partition(DevicePartition::Mbr { signature: SIGNATURE, offset })
}

fn gpt(partition: Uuid) -> DeviceTarget {
    DeviceTarget::Partition(DevicePartition::Gpt { disk: DISK, partition })
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// The forms that the stores of installed systems have, byte for byte.
#[test]
fn devices() {
    let zeros = |n: usize| "00".repeat(n);
    let cases = [
        (
            Device::new(mbr(1 << 20)),
            format!(
                "{} 06000000 00000000 48000000 00000000 0000100000000000 {} 00000000 01000000 bb6bbadd {}",
                zeros(16),
                zeros(8),
                zeros(28)
            ),
        ),
        (
            Device::new(gpt(WINDOWS)),
            format!(
                "{} 06000000 00000000 48000000 00000000 382c0f8eeae4ba47b7fc9d8c74dccf0b 00000000 00000000 \
                a994230b5e097d488d48719ecd4d78ca {}",
                zeros(16),
                zeros(16)
            ),
        ),
        (
            Device::new(DeviceTarget::Boot),
            format!("{} 05000000 00000000 48000000 00000000 {}", zeros(16), zeros(56)),
        ),
        (
            Device::new(DeviceTarget::Locate { element: 0x1200_0002 }),
            format!("{} 08000000 00000000 1e000000 00000000 00000000 02000012 {}", zeros(16), zeros(6)),
        ),
        (
            Device {
                options: uuid!("733b62e7-f608-11eb-825c-c112f60133ab"),
                target: DeviceTarget::RamDisk { device: Box::new(gpt(RECOVERY)), path: "\\W".into() },
            },
            format!(
                "e7623b7308f6eb11825cc112f60133ab 00000000 01000000 82000000 00000000 03000000 {} \
                01000000 5a000000 05000000 06000000 00000000 48000000 00000000 69cddf6c75de90448f995a84bf264917 \
                00000000 00000000 a994230b5e097d488d48719ecd4d78ca {} 5c00 5700 0000",
                zeros(20),
                zeros(16)
            ),
        ),
    ];
    for (device, bytes) in cases {
        let bytes = hex(&bytes);
        assert_eq!(device.to_bytes(), bytes, "{device:?}");
        assert_eq!(Device::parse(&bytes), Some(device));
        // Any other form is not taken for this one.
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x40;
            assert!(Device::parse(&other).is_none_or(|device| device.to_bytes() == other));
            assert_eq!(Device::parse(&bytes[..at]), None);
        }
    }
}

/// The store of a BIOS disk, given by its objects.
#[derive(Default)]
struct Bios(Tree);

impl Bios {
    fn object(&mut self, id: &str, kind: u32) -> &mut Tree {
        let object = self.0.entry("Objects").entry(id);
        object.entry("Description").set("Type", kind::DWORD, kind.to_le_bytes());
        object
    }

    fn store(&self) -> Store {
        Store::read(&open(&self.0.to_hive("\\Boot\\BCD").unwrap()).unwrap()).unwrap()
    }
}

fn set(object: &mut Tree, number: u32, kind: u32, data: &[u8]) {
    object.entry("Elements").entry(&format!("{number:08x}")).set("Element", kind, data);
}

fn text(object: &mut Tree, number: u32, text: &str) {
    let data: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    set(object, number, kind::SZ, &data);
}

fn device(object: &mut Tree, number: u32, target: DeviceTarget) {
    set(object, number, kind::BINARY, &Device::new(target).to_bytes());
}

fn braced(id: Uuid) -> String {
    id.braced().to_string()
}

const LOADER: Uuid = Uuid::from_u128(0x10);
const RESUME: Uuid = Uuid::from_u128(0x11);
const RESCUE: Uuid = Uuid::from_u128(0x12);
const OPTIONS: Uuid = Uuid::from_u128(0x13);

/// As Windows' setup leaves it, with what a user added.
fn bios() -> Bios {
    let mut bios = Bios::default();
    bios.0.entry("Description").set("GuidCache", kind::BINARY, [7; 32]);
    let manager = bios.object(&braced(object::BOOT_MANAGER), object_type::BOOT_MANAGER);
    device(manager, element_type::DEVICE, mbr(PLACES[0]));
    text(manager, element_type::DEFAULT, &braced(LOADER));
    set(manager, element_type::TIMEOUT, kind::BINARY, &[3]);
    let memory = bios.object(&braced(object::MEMORY_TEST), object_type::MEMORY_TEST);
    device(memory, element_type::DEVICE, DeviceTarget::Boot);
    text(memory, element_type::PATH, "\\boot\\memtest.exe");
    for (id, kind, path, root) in [
        (LOADER, object_type::WINDOWS_LOADER, "\\Windows\\system32\\winload.exe", "\\Windows"),
        (RESUME, object_type::RESUME_LOADER, "\\Windows\\system32\\winresume.EXE", "\\hiberfil.sys"),
    ] {
        let object = bios.object(&braced(id), kind);
        device(object, element_type::DEVICE, mbr(PLACES[1]));
        device(object, element_type::OS_DEVICE, mbr(PLACES[1]));
        text(object, element_type::PATH, path);
        text(object, element_type::SYSTEM_ROOT, root);
        text(object, element_type::DESCRIPTION, "Windows 10, my own");
    }
    let rescue = bios.object(&braced(RESCUE), object_type::WINDOWS_LOADER);
    let target =
        DeviceTarget::RamDisk { device: Box::new(mbr(PLACES[2])), path: "\\Recovery\\Winre.wim".into() };
    let ram_disk = Device { options: OPTIONS, target }.to_bytes();
    set(rescue, element_type::DEVICE, kind::BINARY, &ram_disk);
    set(rescue, element_type::OS_DEVICE, kind::BINARY, &ram_disk);
    text(rescue, element_type::PATH, "\\windows\\system32\\winload.exe");
    text(rescue, element_type::SYSTEM_ROOT, "\\windows");
    set(rescue, element_type::WIN_PE, kind::BINARY, &[1]);
    device(bios.object(&braced(OPTIONS), 0x3000_0000), 0x3100_0003, mbr(PLACES[2]));
    bios
}

fn get(store: &Store, id: Uuid, number: u32) -> Option<Element> {
    store.object(id).unwrap().get(number)
}

fn at(target: DeviceTarget) -> Option<Element> {
    Some(Element::Device(Device::new(target)))
}

#[test]
fn to_uefi() {
    let mut store = bios().store();
    let before = store.clone();
    assert_eq!(store.to_uefi(&ids(), ESP, PLACES[0]), []);
    let path = |path: &str| Some(Element::Text(path.into()));
    assert_eq!(get(&store, object::BOOT_MANAGER, element_type::DEVICE), at(gpt(ESP)));
    assert_eq!(
        get(&store, object::BOOT_MANAGER, element_type::PATH),
        path("\\EFI\\Microsoft\\Boot\\bootmgfw.efi")
    );
    assert_eq!(get(&store, object::BOOT_MANAGER, element_type::TIMEOUT), Some(Element::Integer(3)));
    assert_eq!(get(&store, object::MEMORY_TEST, element_type::DEVICE), at(gpt(ESP)));
    assert_eq!(
        get(&store, object::MEMORY_TEST, element_type::PATH),
        path("\\EFI\\Microsoft\\Boot\\memtest.efi")
    );
    for (id, loader) in [(LOADER, "winload"), (RESUME, "winresume")] {
        assert_eq!(get(&store, id, element_type::DEVICE), at(gpt(WINDOWS)));
        assert_eq!(get(&store, id, element_type::OS_DEVICE), at(gpt(WINDOWS)));
        assert_eq!(get(&store, id, element_type::PATH), path(&format!("\\Windows\\system32\\{loader}.efi")));
        assert_eq!(get(&store, id, element_type::ISOLATED_CONTEXT), Some(Element::Boolean(true)));
        assert_eq!(get(&store, id, element_type::DESCRIPTION), path("Windows 10, my own"));
    }
    let target =
        DeviceTarget::RamDisk { device: Box::new(gpt(RECOVERY)), path: "\\Recovery\\Winre.wim".into() };
    let ram_disk = Some(Element::Device(Device { options: OPTIONS, target }));
    assert_eq!(get(&store, RESCUE, element_type::DEVICE), ram_disk);
    assert_eq!(get(&store, RESCUE, element_type::OS_DEVICE), ram_disk);
    assert_eq!(get(&store, RESCUE, element_type::PATH), path("\\windows\\system32\\winload.efi"));
    assert_eq!(get(&store, RESCUE, element_type::ISOLATED_CONTEXT), None);
    assert_eq!(get(&store, OPTIONS, 0x3100_0003), at(gpt(RECOVERY)));
    assert_eq!(store.default_entry().map(|entry| entry.id), Some(LOADER));
    assert!(store.objects().map(|object| object.id).eq(before.objects().map(|object| object.id)));
    let file = store.to_hive("\\EFI\\Microsoft\\Boot\\BCD").unwrap();
    let hive = open(&file).unwrap();
    let cache = hive.key("Description").unwrap().unwrap().value("GuidCache").unwrap().unwrap();
    assert_eq!(cache.data().unwrap(), [7; 32]);
    let written_again = Store::read(&hive).unwrap().to_hive("\\EFI\\Microsoft\\Boot\\BCD").unwrap();
    assert!(written_again == file, "nothing is lost");
    // It is one for UEFI now: nothing is left to convert.
    assert_eq!(store.clone().to_uefi(&ids(), ESP, PLACES[0]), []);
}

/// A system with one partition says "the partition booted from", which is another one under UEFI.
#[test]
fn boot_device() {
    let mut bios = bios();
    device(
        bios.object(&braced(LOADER), object_type::WINDOWS_LOADER),
        element_type::OS_DEVICE,
        DeviceTarget::Boot,
    );
    let mut store = bios.store();
    assert_eq!(store.to_uefi(&ids(), ESP, PLACES[1]), []);
    assert_eq!(get(&store, LOADER, element_type::OS_DEVICE), at(gpt(WINDOWS)));
    let mut store = bios.store();
    let unresolved = store.to_uefi(&ids(), ESP, PLACES[0]);
    assert_eq!(unresolved.len(), 1);
    assert_eq!(unresolved[0].reason, UnresolvedReason::BootPartitionGone);
    assert_eq!(get(&store, LOADER, element_type::OS_DEVICE), at(DeviceTarget::Boot));
}

/// A store that finds its partitions by what is on them needs no new devices.
#[test]
fn locate() {
    let mut bios = bios();
    let object = bios.object(&braced(LOADER), object_type::WINDOWS_LOADER);
    device(object, element_type::DEVICE, DeviceTarget::Locate { element: element_type::PATH });
    device(object, element_type::OS_DEVICE, DeviceTarget::Locate { element: element_type::SYSTEM_ROOT });
    let mut store = bios.store();
    assert_eq!(store.to_uefi(&ids(), ESP, PLACES[0]), []);
    let locate = at(DeviceTarget::Locate { element: element_type::SYSTEM_ROOT });
    assert_eq!(get(&store, LOADER, element_type::OS_DEVICE), locate);
}

#[test]
fn unresolved() {
    let mut bios = bios();
    let other = DevicePartition::Mbr { signature: 7, offset: PLACES[1] };
    device(bios.object(&braced(LOADER), object_type::WINDOWS_LOADER), 0x1100_0001, mbr(PLACES[0]));
    device(
        bios.object(&braced(RESUME), object_type::RESUME_LOADER),
        0x1100_0001,
        DeviceTarget::Partition(other),
    );
    device(bios.object(&braced(OPTIONS), 0x3000_0000), 0x3100_0003, mbr(4096));
    let legacy = bios.object("{466f5a88-0af2-4f76-9038-095b170dc21c}", 0x1030_0006);
    text(legacy, element_type::DESCRIPTION, "Earlier Windows");
    let mut store = bios.store();
    let unresolved = store.to_uefi(&ids(), ESP, PLACES[0]);
    let reasons: Vec<_> = unresolved.iter().map(|one| (one.object, one.element, one.reason)).collect();
    assert_eq!(
        reasons,
        [
            (LOADER, Some(0x1100_0001), UnresolvedReason::PartitionGone { offset: PLACES[0] }),
            (RESUME, Some(0x1100_0001), UnresolvedReason::OtherDisk { signature: 7 }),
            (OPTIONS, Some(0x3100_0003), UnresolvedReason::PartitionGone { offset: 4096 }),
            (uuid!("466f5a88-0af2-4f76-9038-095b170dc21c"), None, UnresolvedReason::BiosOnly),
        ]
    );
    assert_eq!(
        unresolved[3].to_string(),
        "boot entry {466f5a88-0af2-4f76-9038-095b170dc21c} (Earlier Windows): cannot be started by UEFI"
    );
}

#[test]
fn no_default_and_no_store() {
    let mut bios = bios();
    text(
        bios.object(&braced(object::BOOT_MANAGER), object_type::BOOT_MANAGER),
        element_type::DEFAULT,
        "{nonsense}",
    );
    assert!(bios.store().default_entry().is_none());
    let other = open(&Tree::new("ROOT").to_hive("").unwrap()).unwrap();
    assert!(matches!(Store::read(&other), Err(Error::NotConvertible { .. })));
}

/// The same ids, the same bytes; all that is needed to start is there.
#[test]
fn from_nothing() {
    let installation = Installation {
        description: "Windows 11".into(),
        locale: "fr-FR".into(),
        disk: DISK,
        esp: ESP,
        windows: WINDOWS,
    };
    let make = || {
        let mut ids = (0x10..).map(Uuid::from_u128);
        installation.store(|| ids.next().unwrap())
    };
    let store = make();
    assert_eq!(store.to_hive("BCD").unwrap(), make().to_hive("BCD").unwrap());
    assert_eq!(get(&store, object::BOOT_MANAGER, element_type::DEVICE), at(gpt(ESP)));
    let entry = store.default_entry().unwrap();
    assert_eq!(entry.kind, object_type::WINDOWS_LOADER);
    assert_eq!(entry.text(element_type::PATH).as_deref(), Some("\\Windows\\system32\\winload.efi"));
    assert_eq!(entry.get(element_type::OS_DEVICE), at(gpt(WINDOWS)));
    let Some(Element::Object(resume)) = entry.get(element_type::RESUME_OBJECT) else {
        panic!("no resume object")
    };
    assert_eq!(store.object(resume).unwrap().kind, object_type::RESUME_LOADER);
    // Every object that another names is there.
    for object in store.objects() {
        for number in object.elements() {
            let named = match object.get(number).unwrap() {
                Element::Object(id) => vec![id],
                Element::Objects(ids) => ids,
                _ => Vec::new(),
            };
            assert!(named.into_iter().all(|id| store.object(id).is_some()), "{number:x}");
        }
    }
}
