//! Services, drivers and filters: the keys that are written, each and no other.

use diskport::Error;
use diskport::windows::registry::{Hive, Tree, kind, reg};
use diskport::windows::services::{BootDriver, FilterSide, Service, ServiceKind, ServiceStart, Services};
use uuid::Uuid;

use super::open;

const STORAGE: &str = "{4d36e97b-e325-11ce-bfc1-08002be10318}";

/// A `SYSTEM` whose control sets in use and of the next start are these.
fn system(current: u32, default: u32) -> Hive {
    let mut root = Tree { flags: 0x0c, ..Tree::new("ROOT") };
    let select = root.entry("Select");
    select.set("Current", kind::DWORD, current.to_le_bytes());
    select.set("Default", kind::DWORD, default.to_le_bytes());
    select.set("LastKnownGood", kind::DWORD, 9u32.to_le_bytes());
    open(&root.to_hive("SYSTEM").unwrap()).unwrap()
}

fn with(hive: &mut Hive, change: impl FnOnce(&mut Services<'_, '_>)) {
    let mut editor = hive.edit().unwrap();
    change(&mut Services::new(&mut editor).unwrap());
    editor.commit().unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
}

/// Keys and values below the root but for `Select`, a line each, as in a `.reg` file.
fn lines(hive: &Hive) -> Vec<String> {
    let mut file = Vec::new();
    for key in hive.root().unwrap().subkeys().unwrap() {
        let key = key.unwrap();
        if key.name() != "Select" {
            reg::export(&key, key.name(), &mut file).unwrap();
        }
    }
    let units: Vec<_> = file.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let text = String::from_utf16(&units).unwrap().replace(",\\\r\n  ", ",");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.contains("Version 5"));
    lines.map(str::to_owned).collect()
}

fn hex(text: &str) -> String {
    let bytes = text.encode_utf16().flat_map(u16::to_le_bytes);
    bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(",")
}

#[test]
fn a_driver_and_a_service() {
    let mut hive = system(1, 1);
    with(&mut hive, |services| {
        let driver = Service::driver("vioscsi", ServiceStart::Boot, r"system32\drivers\vioscsi.sys");
        services.define(&Service { group: Some("SCSI miniport".into()), tag: Some(0x21), ..driver }).unwrap();
        let kind = ServiceKind::OwnProcess;
        services
            .define(&Service { kind, ..Service::driver("setup", ServiceStart::Auto, r"C:\x\run.exe") })
            .unwrap();
    });
    let image = |path: &str| format!("\"ImagePath\"=hex(2):{}", hex(&format!("{path}\0")));
    assert_eq!(
        lines(&hive),
        [
            "[ControlSet001]",
            "[ControlSet001\\Services]",
            "[ControlSet001\\Services\\setup]",
            "\"Type\"=dword:00000010",
            "\"Start\"=dword:00000002",
            "\"ErrorControl\"=dword:00000001",
            &image(r"C:\x\run.exe"),
            "\"ObjectName\"=\"LocalSystem\"",
            "[ControlSet001\\Services\\vioscsi]",
            "\"Type\"=dword:00000001",
            "\"Start\"=dword:00000000",
            "\"ErrorControl\"=dword:00000001",
            &image(r"system32\drivers\vioscsi.sys"),
            "\"Group\"=\"SCSI miniport\"",
            "\"Tag\"=dword:00000021",
        ]
    );
}

/// What is in use and what the next start uses are changed both, and nothing else; no `CurrentControlSet` is made.
#[test]
fn all_control_sets_that_count() {
    let mut hive = system(1, 3);
    with(&mut hive, |services| {
        assert_eq!(services.control_sets(), ["ControlSet001", "ControlSet003"]);
        assert_eq!(
            services.set_start("storahci", ServiceStart::Boot).unwrap(),
            0,
            "no service is made by its start"
        );
        services.define(&Service::driver("storahci", ServiceStart::Demand, "x")).unwrap();
        assert_eq!(services.set_start("STORAHCI", ServiceStart::Boot).unwrap(), 2);
    });
    let names: Vec<_> = lines(&hive).into_iter().filter(|line| line.contains("storahci]")).collect();
    assert_eq!(names, ["[ControlSet001\\Services\\storahci]", "[ControlSet003\\Services\\storahci]"]);
    let changes =
        reg::parse(b"REGEDIT4\n[HKLM\\SYSTEM\\CurrentControlSet\\Services\\x]\n\"Start\"=dword:4\n").unwrap();
    let mut editor = hive.edit().unwrap();
    reg::apply(&mut editor, diskport::windows::registry::HiveKind::System, &changes).unwrap();
    editor.commit().unwrap();
    assert!(!lines(&hive).iter().any(|line| line.contains("CurrentControlSet")));
    assert_eq!(lines(&hive).iter().filter(|line| line.ends_with("\\Services\\x]")).count(), 2);
}

#[test]
fn without_a_control_set() {
    let mut hive = open(&Tree::new("ROOT").to_hive("").unwrap()).unwrap();
    let mut editor = hive.edit().unwrap();
    assert!(matches!(Services::new(&mut editor), Err(Error::Damaged { .. })));
}

#[test]
fn start_overrides_and_filters() {
    let mut hive = system(1, 1);
    let class = format!("ControlSet001\\Control\\Class\\{STORAGE}");
    let mut editor = hive.edit().unwrap();
    editor
        .set_value(r"ControlSet001\Services\storahci\StartOverride", "0", kind::DWORD, &[3, 0, 0, 0])
        .unwrap();
    editor.set_value(r"ControlSet001\Services\bnistack", "Start", kind::DWORD, &[0; 4]).unwrap();
    let list: Vec<u8> = "fvevol\0BNIStack\0\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    editor.set_value(&class, "LowerFilters", kind::MULTI_SZ, &list).unwrap();
    let list: Vec<u8> = "bnistack\0\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    editor.set_value(&class, "UpperFilters", kind::MULTI_SZ, &list).unwrap();
    editor.commit().unwrap();
    with(&mut hive, |services| {
        assert_eq!(services.remove_start_override("storahci").unwrap(), 1);
        assert_eq!(services.remove_start_override("storahci").unwrap(), 0);
        assert_eq!(services.disable("bnistack").unwrap(), [class.as_str()]);
        assert_eq!(services.disable("bnistack").unwrap(), Vec::<String>::new());
        assert_eq!(services.add_filter(STORAGE, FilterSide::Lower, "new").unwrap(), 1);
        assert_eq!(services.add_filter(STORAGE, FilterSide::Lower, "NEW").unwrap(), 0);
        assert_eq!(services.remove_filter(STORAGE, FilterSide::Lower, "absent").unwrap(), 0);
    });
    assert_eq!(
        lines(&hive),
        [
            "[ControlSet001]",
            "[ControlSet001\\Control]",
            "[ControlSet001\\Control\\Class]",
            &format!("[{class}]"),
            &format!("\"LowerFilters\"=hex(7):{}", hex("fvevol\0new\0\0")),
            "[ControlSet001\\Services]",
            "[ControlSet001\\Services\\bnistack]",
            "\"Start\"=dword:00000004",
            "[ControlSet001\\Services\\storahci]",
        ]
    );
}

fn vioscsi() -> BootDriver {
    BootDriver {
        service: "vioscsi".into(),
        inf: "VioScsi.inf".into(),
        class: Uuid::parse_str(STORAGE).unwrap(),
        devices: vec![r"PCI\VEN_1AF4&DEV_1004".into()],
        provider: "Somebody".into(),
        date: 0x01c6_94c5_a38c_8000,
        version: [10, 0, 18362, 693],
        architecture: "amd64".into(),
    }
}

/// The keys of Windows 8 and later. `Version` is that of a real package of the same date, version and machine.
#[test]
fn driver_database() {
    let mut hive = system(1, 1);
    with(&mut hive, |services| services.bind(&vioscsi(), 19045).unwrap());
    let package = "vioscsi.inf_amd64_0000000000000000";
    let id = "PCI\\VEN_1AF4&DEV_1004";
    assert_eq!(
        lines(&hive),
        [
            "[DriverDatabase]",
            "[DriverDatabase\\DeviceIds]",
            "[DriverDatabase\\DeviceIds\\PCI]",
            &format!("[DriverDatabase\\DeviceIds\\{id}]"),
            "\"vioscsi.inf\"=hex:01,ff,00,00",
            "[DriverDatabase\\DriverInfFiles]",
            "[DriverDatabase\\DriverInfFiles\\vioscsi.inf]",
            &format!("@=hex(7):{}", hex(&format!("{package}\0\0"))),
            &format!("\"Active\"=\"{package}\""),
            &format!("\"Configurations\"=hex(7):{}", hex("Boot_Inst\0\0")),
            "[DriverDatabase\\DriverPackages]",
            &format!("[DriverDatabase\\DriverPackages\\{package}]"),
            "@=\"vioscsi.inf\"",
            "\"Version\"=hex:ff,ff,09,00,00,00,00,00,7b,e9,36,4d,25,e3,ce,11,bf,c1,08,00,2b,e1,03,18,\
             00,80,8c,a3,c5,94,c6,01,b5,02,ba,47,00,00,0a,00,00,00,00,00,00,00,00,00",
            "\"Provider\"=\"Somebody\"",
            &format!("[DriverDatabase\\DriverPackages\\{package}\\Configurations]"),
            &format!("[DriverDatabase\\DriverPackages\\{package}\\Configurations\\Boot_Inst]"),
            "\"ConfigFlags\"=dword:00000000",
            "\"Service\"=\"vioscsi\"",
            &format!("[DriverDatabase\\DriverPackages\\{package}\\Descriptors]"),
            &format!("[DriverDatabase\\DriverPackages\\{package}\\Descriptors\\PCI]"),
            &format!("[DriverDatabase\\DriverPackages\\{package}\\Descriptors\\{id}]"),
            "\"Configuration\"=\"Boot_Inst\"",
        ]
    );
}

/// The keys of Windows 7 and Server 2008 R2.
#[test]
fn critical_device_database() {
    let mut hive = system(2, 2);
    with(&mut hive, |services| services.bind(&vioscsi(), 7601).unwrap());
    assert_eq!(
        lines(&hive),
        [
            "[ControlSet002]",
            "[ControlSet002\\Control]",
            "[ControlSet002\\Control\\CriticalDeviceDatabase]",
            "[ControlSet002\\Control\\CriticalDeviceDatabase\\PCI#VEN_1AF4&DEV_1004]",
            "\"Service\"=\"vioscsi\"",
            &format!("\"ClassGUID\"=\"{STORAGE}\""),
        ]
    );
}

#[test]
fn devices_that_are_none() {
    let mut hive = system(1, 1);
    with(&mut hive, |services| {
        for wrong in ["PCI", "PCI\\", "\\VEN_1", "PCI\\VEN_1\\2"] {
            let driver = BootDriver { devices: vec![wrong.into()], ..vioscsi() };
            assert!(matches!(services.bind(&driver, 19045), Err(Error::Unsupported { .. })), "{wrong}");
        }
        let driver = BootDriver { architecture: "ia64".into(), ..vioscsi() };
        assert!(matches!(services.bind(&driver, 19045), Err(Error::Unsupported { .. })));
    });
    assert_eq!(lines(&hive), Vec::<String>::new(), "nothing is half written");
}

#[test]
fn first_boot() {
    let mut hive = system(1, 1);
    with(&mut hive, |services| services.run_at_next_start(r"cmd /c C:\x\setup.cmd").unwrap());
    let expected = ["[Setup]", "\"CmdLine\"=\"cmd /c C:\\\\x\\\\setup.cmd\"", "\"SetupType\"=dword:00000002"];
    assert_eq!(lines(&hive), expected);
    with(&mut hive, |services| {
        services.run_at_next_start(r"cmd /c C:\x\setup.cmd").unwrap();
        let refused = services.run_at_next_start("other").unwrap_err();
        assert!(matches!(refused, Error::Layout { .. }), "{refused}");
    });
    assert_eq!(lines(&hive), expected);
}
