//! `.reg` files: read, applied, exported, and what is refused with its line.

use diskport::Error;
use diskport::windows::registry::reg::{self, Action, Change};
use diskport::windows::registry::{HiveKind, KeyPath, Tree, TreeValue, kind};
use proptest::prelude::*;

use super::{change, open};

const ALL: &str = concat!(
    "Windows Registry Editor Version 5.00\r\n\r\n",
    "; a remark\r\n",
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Ex[am]ple]\r\n",
    "@=\"the \\\"default\\\"\"\r\n",
    "\"path\"=\"C:\\\\Windows\"  ; behind a value\r\n",
    "\"number\" = dword:0000002A\r\n",
    "\"list\"=hex(7):61,00,00,00,\\\r\n  62,00,00,00,\\\r\n  00,00\r\n",
    "\"odd\"=hex(ffff0012):01\r\n",
    "\"none\"=hex:\r\n",
    "\"gone\"=-\r\n",
    "[-HKEY_LOCAL_MACHINE\\SOFTWARE\\Old]\r\n",
);

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn set(line: usize, name: &str, kind: u32, data: impl Into<Vec<u8>>) -> Change {
    let action = Action::Set { name: name.into(), kind, data: data.into() };
    Change { line, key: "HKEY_LOCAL_MACHINE\\SOFTWARE\\Ex[am]ple".into(), action }
}

fn text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn all_there_is() {
    let key = |line, key: &str, action| Change {
        line,
        key: format!("HKEY_LOCAL_MACHINE\\SOFTWARE\\{key}"),
        action,
    };
    let expected = [
        key(4, "Ex[am]ple", Action::Create),
        set(5, "", kind::SZ, text("the \"default\"")),
        set(6, "path", kind::SZ, text("C:\\Windows")),
        set(7, "number", kind::DWORD, [42, 0, 0, 0]),
        set(8, "list", kind::MULTI_SZ, *b"a\0\0\0b\0\0\0\0\0"),
        set(11, "odd", 0xffff_0012, [1]),
        set(12, "none", kind::BINARY, []),
        key(13, "Ex[am]ple", Action::Unset { name: "gone".into() }),
        key(14, "Old", Action::Remove),
    ];
    assert_eq!(reg::parse(&utf16(ALL)).unwrap(), expected);
    assert_eq!(reg::parse(ALL.as_bytes()).unwrap(), expected, "UTF-8");
    let unix = ALL.replace("\r\n", "\n");
    assert_eq!(reg::parse(format!("\u{feff}{unix}").as_bytes()).unwrap(), expected, "line ends of Unix");
}

/// Strings of the old version are in the code page of Western Windows, those of bytes too.
#[test]
fn of_old() {
    let file =
        b"REGEDIT4\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Ex[am]ple]\n\"\xdc\"=\"\x80\"\n\"x\"=hex(2):25,e4,00\n";
    let expected = [set(3, "Ü", kind::SZ, text("€")), set(4, "x", kind::EXPAND_SZ, text("%ä"))];
    assert_eq!(reg::parse(file).unwrap()[1..], expected);
}

#[test]
fn refused_with_the_line() {
    let head = "Windows Registry Editor Version 5.00\n\n";
    for (text, expected_line) in [
        ("[HKLM\\SOFTWARE", 3),
        ("\"x\"=\"y\"", 3),
        ("[K]\nx", 4),
        ("[K]\n\"x\"=\"C:\\Windows\"", 4),
        ("[K]\n\"x\"=\"no end\n\n", 4),
        ("[K]\n\"x\"=dword:123456789", 4),
        ("[K]\n\"x\"=dword:", 4),
        ("[K]\n\"x\"=hex:0", 4),
        ("[K]\n\"x\"=hex:01,\\\n 02 03", 5),
        ("[K]\n\"x\"=hex(100000000):01", 4),
        ("[K]\n\"x\"=1", 4),
        ("[K]\n\n\"x\"", 5),
    ] {
        let error = reg::parse(format!("{head}{text}").as_bytes()).unwrap_err();
        let Error::Text { line, .. } = error else { panic!("{error}") };
        assert_eq!(line, expected_line, "{text:?}: {error}");
    }
    for file in [&b""[..], b"REGEDIT5", b"\xff\xfe\x00", b"Windows Registry Editor Version 5.00\n\xff"] {
        assert!(matches!(reg::parse(file), Err(Error::Text { line: 1, .. })), "{file:?}");
    }
}

/// As regedit writes it.
#[test]
fn exported() {
    let mut root = Tree { flags: 0x0c, ..Tree::new("ROOT") };
    root.set("", kind::SZ, text("a \"b\" \\"))
        .set("number", kind::DWORD, [1, 2, 0, 0])
        .set("two lines", kind::SZ, text("a\r\nb"))
        .set("short", kind::DWORD, [1])
        .set("bytes", kind::BINARY, (0..40).collect::<Vec<u8>>());
    root.entry("Below").set("x", kind::QWORD, [9, 0, 0, 0, 0, 0, 0, 0]);
    let hive = open(&root.to_hive("").unwrap()).unwrap();
    let mut file = Vec::new();
    reg::export(&hive.root().unwrap(), "HKEY_LOCAL_MACHINE\\SOFTWARE", &mut file).unwrap();
    let expected = concat!(
        "Windows Registry Editor Version 5.00\r\n\r\n",
        "[HKEY_LOCAL_MACHINE\\SOFTWARE]\r\n",
        "@=\"a \\\"b\\\" \\\\\"\r\n",
        "\"number\"=dword:00000201\r\n",
        "\"two lines\"=hex(1):61,00,0d,00,0a,00,62,00,00,00\r\n",
        "\"short\"=hex(4):01\r\n",
        "\"bytes\"=hex:00,01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10,11,12,13,14,15,\\\r\n",
        "  16,17,18,19,1a,1b,1c,1d,1e,1f,20,21,22,23,24,25,26,27\r\n\r\n",
        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Below]\r\n",
        "\"x\"=hex(b):09,00,00,00,00,00,00,00\r\n\r\n",
    );
    assert_eq!(
        String::from_utf16(
            &file.as_chunks::<2>().0.iter().map(|u| u16::from_le_bytes(*u)).collect::<Vec<_>>()
        )
        .unwrap(),
        format!("\u{feff}{expected}")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is exported and imported into an empty hive is the same.
    #[test]
    fn there_and_back(values in prop::collection::btree_map("[A-Z\"\\\\=;\r\nµя😀]{0,6}", (0..12u32, prop::collection::vec(any::<u8>(), 0..80)), 0..8)) {
        let mut root = Tree { flags: 0x0c, ..Tree::new("ROOT") };
        root.subkeys.push(Tree { values: values.into_iter().map(|(name, (kind, data))| TreeValue { name, kind, data }).collect(), ..Tree::new("[K]") });
        let hive = open(&root.to_hive("").unwrap()).unwrap();
        let mut file = Vec::new();
        reg::export(&hive.root().unwrap(), "HKEY_LOCAL_MACHINE\\SOFTWARE", &mut file).unwrap();
        let changes = reg::parse(&file).unwrap();
        let mut other = open(&Tree { flags: 0x0c, ..Tree::new("ROOT") }.to_hive("").unwrap()).unwrap();
        change(&mut other, |editor| reg::apply(editor, HiveKind::Software, &changes).map(drop)).unwrap();
        let found = other.tree().unwrap();
        prop_assert_eq!(&found.subkeys[0].values, &root.subkeys[0].values);
    }

    /// Any text is read or refused.
    #[test]
    fn any_text(text in "[\\[\\]\"@=\\\\a-f0-9,:;() \nhexdword-]{0,80}") {
        let _ = reg::parse(format!("REGEDIT4\n{text}").as_bytes());
    }
}

#[test]
fn paths() {
    for (text, hive, path) in [
        ("HKLM\\SOFTWARE", HiveKind::Software, ""),
        ("hkey_local_machine\\system\\Select\\", HiveKind::System, "Select"),
        ("HKCR\\.txt", HiveKind::Software, "Classes\\.txt"),
        ("HKU\\.DEFAULT\\Environment", HiveKind::Default, "Environment"),
        ("HKLM\\SAM\\SAM", HiveKind::Sam, "SAM"),
        ("HKLM\\SECURITY", HiveKind::Security, ""),
    ] {
        assert_eq!(text.parse::<KeyPath>().unwrap(), KeyPath { hive, path: path.into() }, "{text}");
    }
    for text in ["HKCU\\Software", "HKLM", "HKLM\\SOFTWAREX", "SOFTWARE\\x", "", "HKLM\\HARDWARE"] {
        assert!(matches!(text.parse::<KeyPath>(), Err(Error::Unsupported { .. })), "{text}");
    }
}
