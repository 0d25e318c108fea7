//! Programs with a version and a signature, and nothing else in them.

/// A 64-bit program with a version resource, signed by `signature` (PKCS #7) where there is one.
pub fn program(version: [u16; 4], signature: Option<&[u8]>) -> Vec<u8> {
    const ALIGNMENT: usize = 0x200;
    let resources = resources(version);
    let raw = resources.len().next_multiple_of(ALIGNMENT);
    let end = ALIGNMENT + raw;
    let certificate = signature.map(|signature| {
        let mut table = ((signature.len() + 8) as u32).to_le_bytes().to_vec();
        table.extend([0, 2, 2, 0]);
        table.extend(signature);
        table.resize(table.len().next_multiple_of(8), 0);
        table
    });

    let mut optional = vec![0; 240];
    put(&mut optional, 0, &0x20b_u16.to_le_bytes());
    put(&mut optional, 32, &0x1000_u32.to_le_bytes()); // alignment of sections
    put(&mut optional, 36, &(ALIGNMENT as u32).to_le_bytes());
    put(&mut optional, 56, &0x2000_u32.to_le_bytes()); // size of the image
    put(&mut optional, 60, &(ALIGNMENT as u32).to_le_bytes()); // size of the headers
    put(&mut optional, 68, &10_u16.to_le_bytes()); // a UEFI application
    put(&mut optional, 108, &16_u32.to_le_bytes()); // data directories
    put(&mut optional, 112 + 2 * 8, &0x1000_u32.to_le_bytes());
    put(&mut optional, 112 + 2 * 8 + 4, &(resources.len() as u32).to_le_bytes());
    if let Some(certificate) = &certificate {
        put(&mut optional, 112 + 4 * 8, &(end as u32).to_le_bytes());
        put(&mut optional, 112 + 4 * 8 + 4, &(certificate.len() as u32).to_le_bytes());
    }
    let mut section = b".rsrc\0\0\0".to_vec();
    for field in [resources.len(), 0x1000, raw, ALIGNMENT, 0, 0, 0, 0x4000_0040] {
        section.extend((field as u32).to_le_bytes());
    }

    let mut file = vec![0; 0x40];
    put(&mut file, 0, b"MZ");
    put(&mut file, 0x3c, &0x40_u32.to_le_bytes());
    file.extend(b"PE\0\0");
    file.extend(0x8664_u16.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend([0; 12]);
    file.extend((optional.len() as u16).to_le_bytes());
    file.extend(0x22_u16.to_le_bytes());
    file.extend(optional);
    file.extend(section);
    file.resize(ALIGNMENT, 0);
    file.extend(resources);
    file.resize(end, 0);
    file.extend(certificate.unwrap_or_default());
    file
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// A section of resources with a version: three levels of directories with an entry each, the data entry, the version.
fn resources([major, minor, build, revision]: [u16; 4]) -> Vec<u8> {
    let mut section = Vec::new();
    for (id, next) in [(16, 0x8000_0018), (1, 0x8000_0030), (0x409, 0x48)] {
        section.extend([0; 14]);
        section.extend(1_u16.to_le_bytes());
        for field in [id, next] {
            section.extend(u32::to_le_bytes(field));
        }
    }
    for field in [0x1000 + 0x58, 92, 0, 0_u32] {
        section.extend(field.to_le_bytes());
    }
    for field in [92_u16, 52, 0] {
        section.extend(field.to_le_bytes());
    }
    section.extend("VS_VERSION_INFO\0\0".encode_utf16().flat_map(u16::to_le_bytes));
    let number = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    let (upper, lower) = (number(major, minor), number(build, revision));
    for field in [0xfeef_04bd, 0x1_0000, upper, lower, upper, lower, 0x3f, 0, 0x4_0004, 3, 0, 0, 0] {
        section.extend(u32::to_le_bytes(field));
    }
    section
}
