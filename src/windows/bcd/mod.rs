//! The boot configuration data (BCD): the store, a small registry hive, that tells the Windows boot manager what to
//! start.
//!
//! A [`Store`] is read from the `BCD` of a BIOS disk, converted with [`Store::to_uefi`] and written with
//! [`Store::to_hive`]; where a disk has none, [`Installation::store`] makes one.

mod build;
mod convert;
mod device;
mod element;
mod store;

pub use build::Installation;
pub use convert::{Unresolved, UnresolvedReason};
pub use device::{Device, DevicePartition, DeviceTarget};
pub use element::Element;
pub use store::{Object, Store};

/// The objects that every store has under the same id.
pub mod object {
    use uuid::{Uuid, uuid};

    /// The Windows boot manager.
    pub const BOOT_MANAGER: Uuid = uuid!("9dea862c-5cdd-4e70-acc1-f32b344d4795");
    /// The memory test.
    pub const MEMORY_TEST: Uuid = uuid!("b2721d73-1db4-4c62-bf78-c548a880142d");
    /// Settings of all entries.
    pub const GLOBAL_SETTINGS: Uuid = uuid!("7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e");
    /// Settings of the debugger.
    pub const DEBUGGER_SETTINGS: Uuid = uuid!("4636856e-540f-4170-a130-a84776f4c654");
    /// Settings of emergency management services.
    pub const EMS_SETTINGS: Uuid = uuid!("0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9");
    /// Memory that is known to be bad.
    pub const BAD_MEMORY: Uuid = uuid!("5189b25c-5558-4bf2-bca4-289b11bd29e2");
    /// Settings of all Windows loaders.
    pub const BOOT_LOADER_SETTINGS: Uuid = uuid!("6efb52bf-1766-41db-a6b3-0ee5eff72bd7");
    /// Settings of all resume loaders.
    pub const RESUME_LOADER_SETTINGS: Uuid = uuid!("1afa9c49-16ab-4a5c-901b-212802da9460");
    /// Settings of the hypervisor.
    pub const HYPERVISOR_SETTINGS: Uuid = uuid!("7ff607e0-4395-11db-b0de-0800200c9a66");
}

/// The types of objects.
pub mod object_type {
    /// The Windows boot manager.
    pub const BOOT_MANAGER: u32 = 0x1010_0002;
    /// A Windows loader.
    pub const WINDOWS_LOADER: u32 = 0x1020_0003;
    /// A loader that wakes Windows from hibernation.
    pub const RESUME_LOADER: u32 = 0x1020_0004;
    /// A memory test.
    pub const MEMORY_TEST: u32 = 0x1020_0005;
    /// Settings that any object may inherit.
    pub const SETTINGS: u32 = 0x2010_0000;
    /// Settings that Windows loaders inherit.
    pub const LOADER_SETTINGS: u32 = 0x2020_0003;
    /// Settings that resume loaders inherit.
    pub const RESUME_SETTINGS: u32 = 0x2020_0004;
}

/// The elements of objects, by bcdedit's names. The digit after the first tells the [kind](Element) of each.
pub mod element_type {
    /// `device`: where the application is.
    pub const DEVICE: u32 = 0x1100_0001;
    /// `path` of the application.
    pub const PATH: u32 = 0x1200_0002;
    /// `description`.
    pub const DESCRIPTION: u32 = 0x1200_0004;
    /// `locale`.
    pub const LOCALE: u32 = 0x1200_0005;
    /// `inherit`.
    pub const INHERIT: u32 = 0x1400_0006;
    /// `badmemoryaccess`.
    pub const BAD_MEMORY_ACCESS: u32 = 0x1600_000b;
    /// `debugtype`.
    pub const DEBUG_TYPE: u32 = 0x1500_0011;
    /// `bootems`.
    pub const BOOT_EMS: u32 = 0x1600_0020;
    /// `isolatedcontext`.
    pub const ISOLATED_CONTEXT: u32 = 0x1600_0060;
    /// `allowedinmemorysettings`.
    pub const ALLOWED_SETTINGS: u32 = 0x1700_0077;
    /// `osdevice` of a Windows loader.
    pub const OS_DEVICE: u32 = 0x2100_0001;
    /// `systemroot` of a Windows loader, `filepath` of a resume loader.
    pub const SYSTEM_ROOT: u32 = 0x2200_0002;
    /// `default` of the boot manager.
    pub const DEFAULT: u32 = 0x2300_0003;
    /// `resumeobject` of a Windows loader.
    pub const RESUME_OBJECT: u32 = 0x2300_0003;
    /// `resumeobject` of the boot manager.
    pub const BOOT_MANAGER_RESUME: u32 = 0x2300_0006;
    /// `displayorder`.
    pub const DISPLAY_ORDER: u32 = 0x2400_0001;
    /// `toolsdisplayorder`.
    pub const TOOLS_DISPLAY_ORDER: u32 = 0x2400_0010;
    /// `timeout`, in seconds.
    pub const TIMEOUT: u32 = 0x2500_0004;
    /// `nx`.
    pub const NX: u32 = 0x2500_0020;
    /// `winpe`.
    pub const WIN_PE: u32 = 0x2600_0022;
    /// `bootmenupolicy`.
    pub const BOOT_MENU_POLICY: u32 = 0x2500_00c2;
    /// `hypervisordebugtype`.
    pub const HYPERVISOR_DEBUG_TYPE: u32 = 0x2500_00f3;
    /// `hypervisordebugport`.
    pub const HYPERVISOR_DEBUG_PORT: u32 = 0x2500_00f4;
    /// `hypervisorbaudrate`.
    pub const HYPERVISOR_BAUD_RATE: u32 = 0x2500_00f5;
    /// `bootmenupolicy` of a resume loader.
    pub const RESUME_MENU_POLICY: u32 = 0x2500_0008;
    /// `debugoptionenabled` of a resume loader.
    pub const RESUME_DEBUG: u32 = 0x2600_0006;
}
