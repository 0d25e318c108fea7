//! `registry`: keys and values of the Windows inside a disk.

use std::fmt::Write;
use std::process::ExitCode;

use diskport::windows::HiveFile;
use diskport::windows::registry::{Key, KeyPath, Value, kind};
use diskport::{Error, Result};
use serde::Serialize;
use serde_json::json;

use crate::args::{Registry, RegistryAction};
use crate::console;
use crate::failure::Failure;

/// A value, as it is shown.
#[derive(Serialize)]
pub struct Row {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

pub fn run(args: &Registry) -> Result<ExitCode, Failure> {
    match args.action {
        RegistryAction::Get => get(args),
    }
}

fn get(args: &Registry) -> Result<ExitCode, Failure> {
    let path: KeyPath = args.key.parse()?;
    let (_, volume) = args.volume.open()?;
    let place = format!(r"\Windows\{}", path.hive.file());
    let file = HiveFile::open(&volume, &place)?.ok_or(Error::FileMissing { path: place })?;
    let missing = |what: &str| Error::FileMissing { path: format!("{path}{what}") };
    // Of two control sets, the one that was in use.
    let in_hive = path.in_hive(&file.hive)?.into_iter().next().unwrap_or_default();
    let key = file.hive.key(&in_hive)?.ok_or_else(|| missing(""))?;
    let Some(name) = &args.value else {
        let text = show(&path, &key, args.json)?;
        console::print(&text)?;
        return Ok(ExitCode::SUCCESS);
    };
    // The default value has no name.
    let value = match key.value(name)? {
        None if name == "@" => key.value("")?,
        found => found,
    };
    let row = row(&value.ok_or_else(|| missing(&format!(": value {name}")))?)?;
    if args.json {
        console::print_json(&row)?;
    } else {
        console::print(&format!("{}\n", text(&row.data)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(path: &KeyPath, key: &Key<'_>, as_json: bool) -> Result<String, Failure> {
    let values = key.values()?.map(|value| row(&value?)).collect::<Result<Vec<_>>>()?;
    let subkeys = key.subkeys()?.map(|key| Ok(key?.name().to_owned())).collect::<Result<Vec<_>>>()?;
    if as_json {
        let document = json!({ "key": path.to_string(), "values": values, "subkeys": subkeys });
        return Ok(serde_json::to_string_pretty(&document)? + "\n");
    }
    let mut shown = format!("{path}\n");
    for Row { name, kind, data } in &values {
        let name = if name.is_empty() { "@" } else { name };
        // Writing into a string does not fail.
        let _ = writeln!(shown, "    {name}    {kind}    {}", text(data));
    }
    for name in subkeys {
        let _ = writeln!(shown, "{path}\\{name}");
    }
    Ok(shown)
}

fn row(value: &Value<'_>) -> Result<Row> {
    let (kind, data) = shown(value.kind(), &value.data()?);
    Ok(Row { name: value.name().to_owned(), kind, data })
}

/// The type and the data: numbers as such, strings as such, everything else in hexadecimal.
pub fn shown(of: u32, data: &[u8]) -> (String, serde_json::Value) {
    let number = |len: usize| {
        let mut bytes = [0; 8];
        (data.len() == len).then(|| {
            bytes[..len].copy_from_slice(data);
            json!(u64::from_le_bytes(bytes))
        })
    };
    let units = || data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>();
    let strings = || {
        let text = String::from_utf16_lossy(&units());
        let ends = text.trim_end_matches('\0');
        if ends.is_empty() { Vec::new() } else { ends.split('\0').map(str::to_owned).collect() }
    };
    let hexadecimal = || json!(data.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let (name, shown) = match of {
        kind::SZ => ("REG_SZ", Some(json!(strings().first().cloned().unwrap_or_default()))),
        kind::EXPAND_SZ => ("REG_EXPAND_SZ", Some(json!(strings().first().cloned().unwrap_or_default()))),
        kind::MULTI_SZ => ("REG_MULTI_SZ", Some(json!(strings()))),
        kind::DWORD => ("REG_DWORD", number(4)),
        kind::QWORD => ("REG_QWORD", number(8)),
        kind::BINARY => ("REG_BINARY", None),
        0 => ("REG_NONE", None),
        other => return (format!("{other:#x}"), hexadecimal()),
    };
    (name.to_owned(), shown.unwrap_or_else(hexadecimal))
}

/// The data for people.
pub fn text(data: &serde_json::Value) -> String {
    match data {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}
