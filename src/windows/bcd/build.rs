//! A store made from nothing, as bcdboot makes it for an installed Windows under UEFI.

use uuid::Uuid;

use super::device::{Device, DevicePartition, DeviceTarget};
use super::element::Element;
use super::element_type::*;
use super::store::Store;
use super::{object, object_type};

/// A Windows that is to be started under UEFI.
///
/// ```
/// use diskport::windows::bcd::Installation;
/// use uuid::Uuid;
///
/// let installation = Installation {
///     description: "Windows 10".into(),
///     locale: "en-US".into(),
///     disk: Uuid::from_u128(1),
///     esp: Uuid::from_u128(2),
///     windows: Uuid::from_u128(3),
/// };
/// let store = installation.store(Uuid::new_v4);
/// let file = store.to_hive("\\EFI\\Microsoft\\Boot\\BCD")?;
/// # assert_eq!(&file[..4], b"regf");
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// What the boot menu calls it.
    pub description: String,
    /// The language of the boot menu, as in `en-US`.
    pub locale: String,
    /// The GPT disk.
    pub disk: Uuid,
    /// Its EFI system partition.
    pub esp: Uuid,
    /// The partition of Windows, with its folder `\Windows`.
    pub windows: Uuid,
}

impl Installation {
    /// The store that starts it. `new_id` gives the ids of new objects, each another.
    pub fn store(&self, mut new_id: impl FnMut() -> Uuid) -> Store {
        let (windows_id, resume_id) = (new_id(), new_id());
        let device = |partition| {
            Element::Device(Device::new(DeviceTarget::Partition(DevicePartition::Gpt {
                disk: self.disk,
                partition,
            })))
        };
        let (esp, windows) = (device(self.esp), device(self.windows));
        let named = |name: &str, settings: Uuid| {
            [
                (DESCRIPTION, text(name)),
                (LOCALE, text(&self.locale)),
                (INHERIT, Element::Objects(vec![settings])),
            ]
        };
        let mut store = Store::new();
        add_settings(&mut store);
        let manager = [
            (DEVICE, esp.clone()),
            (PATH, text("\\EFI\\Microsoft\\Boot\\bootmgfw.efi")),
            (DEFAULT, Element::Object(windows_id)),
            (BOOT_MANAGER_RESUME, Element::Object(resume_id)),
            (DISPLAY_ORDER, Element::Objects(vec![windows_id])),
            (TOOLS_DISPLAY_ORDER, Element::Objects(vec![object::MEMORY_TEST])),
            (TIMEOUT, Element::Integer(30)),
        ];
        let name = named("Windows Boot Manager", object::GLOBAL_SETTINGS);
        store.add(object::BOOT_MANAGER, object_type::BOOT_MANAGER, name.into_iter().chain(manager));
        let memory_test = [
            (DEVICE, esp),
            (PATH, text("\\EFI\\Microsoft\\Boot\\memtest.efi")),
            (BAD_MEMORY_ACCESS, Element::Boolean(true)),
        ];
        let name = named("Windows Memory Diagnostic", object::GLOBAL_SETTINGS);
        store.add(object::MEMORY_TEST, object_type::MEMORY_TEST, name.into_iter().chain(memory_test));
        // What the loaders of Windows and of its hibernated state share.
        let loader = |path: &str, root: &str| {
            [
                (DEVICE, windows.clone()),
                (PATH, text(path)),
                (ISOLATED_CONTEXT, Element::Boolean(true)),
                (ALLOWED_SETTINGS, Element::Integers(vec![0x1500_0075])),
                (OS_DEVICE, windows.clone()),
                (SYSTEM_ROOT, text(root)),
            ]
        };
        let windows_loader = loader("\\Windows\\system32\\winload.efi", "\\Windows").into_iter().chain([
            (RESUME_OBJECT, Element::Object(resume_id)),
            (NX, Element::Integer(0)),
            (BOOT_MENU_POLICY, Element::Integer(1)),
        ]);
        let name = named(&self.description, object::BOOT_LOADER_SETTINGS);
        store.add(windows_id, object_type::WINDOWS_LOADER, name.into_iter().chain(windows_loader));
        let resume = loader("\\Windows\\system32\\winresume.efi", "\\hiberfil.sys")
            .into_iter()
            .chain([(RESUME_MENU_POLICY, Element::Integer(1)), (RESUME_DEBUG, Element::Boolean(false))]);
        let name = named("Windows Resume Application", object::RESUME_LOADER_SETTINGS);
        store.add(resume_id, object_type::RESUME_LOADER, name.into_iter().chain(resume));
        store
    }
}

/// The settings that entries inherit.
fn add_settings(store: &mut Store) {
    use object::*;
    let inherit = |ids: &[Uuid]| (INHERIT, Element::Objects(ids.to_vec()));
    store.add(EMS_SETTINGS, object_type::SETTINGS, [(BOOT_EMS, Element::Boolean(false))]);
    // 4: over a local debugger's connection.
    store.add(DEBUGGER_SETTINGS, object_type::SETTINGS, [(DEBUG_TYPE, Element::Integer(4))]);
    store.add(BAD_MEMORY, object_type::SETTINGS, []);
    let all = [DEBUGGER_SETTINGS, EMS_SETTINGS, BAD_MEMORY];
    store.add(GLOBAL_SETTINGS, object_type::SETTINGS, [inherit(&all)]);
    let loaders = [GLOBAL_SETTINGS, HYPERVISOR_SETTINGS];
    store.add(BOOT_LOADER_SETTINGS, object_type::LOADER_SETTINGS, [inherit(&loaders)]);
    store.add(RESUME_LOADER_SETTINGS, object_type::RESUME_SETTINGS, [inherit(&[GLOBAL_SETTINGS])]);
    // The first serial port at 115200 baud.
    let hypervisor = [
        (HYPERVISOR_DEBUG_TYPE, Element::Integer(0)),
        (HYPERVISOR_DEBUG_PORT, Element::Integer(1)),
        (HYPERVISOR_BAUD_RATE, Element::Integer(115_200)),
    ];
    store.add(HYPERVISOR_SETTINGS, object_type::LOADER_SETTINGS, hypervisor);
}

fn text(text: &str) -> Element {
    Element::Text(text.to_owned())
}
