//! A Windows with Citrix' components, as far as its registry and a few files make one.

use std::fs;
use std::path::Path;

use diskport::windows::registry::{Tree, kind};

use crate::common::tools::Trouble;
use crate::program::program;

/// What another tool made of certificates: `Windows UEFI CA 2023` of ours vouches for it.
pub const SIGNATURE: &[u8] = include_bytes!("../../testdata/signature.p7b");

pub fn text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

pub fn key<'t>(tree: &'t mut Tree, path: &str) -> &'t mut Tree {
    path.split('\\').fold(tree, |tree, part| tree.entry(part))
}

pub fn string<'t>(key: &'t mut Tree, name: &str, value: &str) -> &'t mut Tree {
    key.set(name, kind::SZ, text(value))
}

pub fn number<'t>(key: &'t mut Tree, name: &str, value: u32) -> &'t mut Tree {
    key.set(name, kind::DWORD, value.to_le_bytes())
}

fn list(key: &mut Tree, name: &str, values: &[&str]) {
    key.set(
        name,
        kind::MULTI_SZ,
        values.iter().flat_map(|value| text(value)).chain([0, 0]).collect::<Vec<_>>(),
    );
}

/// The hive `SOFTWARE`.
pub fn software() -> Tree {
    let mut root = Tree::new("ROOT");
    let version = key(&mut root, "Microsoft\\Windows NT\\CurrentVersion");
    for (name, value) in [
        ("ProductName", "Windows 10 Enterprise"),
        ("CurrentBuild", "22631"),
        ("DisplayVersion", "23H2"),
        ("EditionID", "Enterprise"),
        ("InstallationType", "Client"),
        ("SystemRoot", "C:\\Windows"),
    ] {
        string(version, name, value);
    }
    number(version, "CurrentMajorVersionNumber", 10);
    number(version, "CurrentMinorVersionNumber", 0);
    number(version, "UBR", 4460);
    let uninstall = "Microsoft\\Windows\\CurrentVersion\\Uninstall";
    let mut entry = |view: &str, id: &str, name: &str, version: &str| {
        let entry = key(&mut root, &format!("{view}{uninstall}\\{id}"));
        string(entry, "DisplayName", name);
        string(entry, "DisplayVersion", version);
        string(entry, "Publisher", "Citrix Systems, Inc.");
    };
    let vda = "Citrix Virtual Apps and Desktops 7 2311 - Virtual Delivery Agent";
    entry("", "CitrixVirtualDesktopAgent", vda, "2311.0.0.77");
    entry("WOW6432Node\\", "{A}", "Citrix Provisioning Target Device x64 7.33.3000.1", "7.33.3000.1");
    entry("", "7-Zip", "7-Zip 23.01 (x64)", "23.01");
    entry("WOW6432Node\\", "7-Zip", "7-Zip 23.01 (x64)", "23.01");
    entry("", "Update", "Update for something", "1");
    entry("", "Nameless", "", "1");
    number(key(&mut root, &format!("WOW6432Node\\{uninstall}\\{{A}}")), "SystemComponent", 1);
    string(key(&mut root, &format!("{uninstall}\\Update")), "ParentKeyName", "something");
    root
}

/// The hive `SYSTEM`, whose second control set counts.
pub fn system() -> Tree {
    let mut root = Tree::new("ROOT");
    number(key(&mut root, "Select"), "Current", 2);
    number(key(&mut root, "ControlSet001\\Services\\storahci"), "Start", 4);
    let set = key(&mut root, "ControlSet002");
    let environment = key(set, "Control\\Session Manager\\Environment");
    string(environment, "PROCESSOR_ARCHITECTURE", "AMD64");
    let memory = key(set, "Control\\Session Manager\\Memory Management");
    list(memory, "PagingFiles", &["C:\\pagefile.sys 64 128", "D:\\pagefile.sys 0 0", "?:\\missing.sys"]);
    list(
        key(set, "Control\\Class\\{4d36e967-e325-11ce-bfc1-08002be10318}"),
        "UpperFilters",
        &["partmgr", "ghost"],
    );
    let mut service = |name: &str, image: Option<&str>, kind: u32, start: u32| {
        let service = key(set, &format!("Services\\{name}"));
        number(service, "Type", kind);
        number(service, "Start", start);
        if let Some(image) = image {
            service.set("ImagePath", kind::EXPAND_SZ, text(image));
        }
    };
    service("bnistack", Some("system32\\DRIVERS\\bnistack6.sys"), 1, 0);
    service("storahci", Some("\\SystemRoot\\System32\\drivers\\storahci.sys"), 1, 0);
    service("stornvme", None, 1, 0);
    service("vioscsi", Some("System32\\drivers\\vioscsi.sys"), 1, 3);
    service("partmgr", None, 1, 0);
    service("pvscsi", Some("D:\\drivers\\pvscsi.sys"), 1, 0);
    service("unrelated", None, 1, 0);
    service("spooler", Some("%SystemRoot%\\System32\\spoolsv.exe"), 16, 2);
    let vda = "\"C:\\Program Files\\Citrix\\Virtual Desktop Agent\\BrokerAgent.exe\" -x";
    service("BrokerAgent", Some(vda), 16, 2);
    service("BNDevice", Some("C:\\Program Files\\Citrix\\Provisioning Services\\BNDevice.exe"), 16, 2);
    number(key(set, "Services\\storahci\\StartOverride"), "0", 3);
    string(key(set, "Services\\bnistack\\PvsAgent"), "DiskName", "gold.vhdx");
    number(key(set, "Services\\bnistack\\PvsAgent"), "WriteCacheType", 9);
    root
}

/// Puts a Windows into `folder` of a mounted volume.
pub fn install(folder: &Path, software: &[u8], system: &[u8]) -> Result<(), Trouble> {
    let put = |path: &str, bytes: &[u8]| -> Result<(), Trouble> {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        Ok(fs::write(path, bytes)?)
    };
    put("Windows/System32/config/SOFTWARE", software)?;
    put("Windows/System32/config/SYSTEM", system)?;
    put("Windows/System32/ntoskrnl.exe", b"a kernel")?;
    put("Windows/Boot/EFI/bootmgfw.efi", &program([10, 0, 22631, 1], Some(SIGNATURE)))?;
    put("Windows/System32/drivers/bnistack6.sys", &program([7, 33, 3000, 5], None))?;
    put("Windows/System32/drivers/StorAHCI.sys", b"a driver")?;
    put("Windows/System32/drivers/vioscsi.sys", b"a driver")?;
    put("Windows/System32/drivers/partmgr.sys", b"a driver")?;
    put("Program Files/Citrix/Virtual Desktop Agent/BrokerAgent.exe", &program([7, 40, 0, 12], None))?;
    put("bootmgr", b"a boot manager")?;
    put("Personality.ini", b"")?;
    put("pagefile.sys", &[0xaa; 300_000])
}
