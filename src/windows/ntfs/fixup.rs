//! Multi-sector transfer protection: the last two bytes of each 512-byte stride of a record are kept in an array of
//! their own, and in their place stands a sequence number that tells a record which was written only in part.

use super::flaw::{Flaw, flaw};

/// The stride, whatever the sector size.
const STRIDE: usize = 512;

/// Checks the signature and puts the strides' own last bytes back.
pub(super) fn remove(block: &mut [u8], signature: &[u8; 4]) -> Result<(), Flaw> {
    if block.get(..4) != Some(signature) {
        let found = block.get(..4).unwrap_or_default().escape_ascii();
        return Err(flaw(format!("the signature {}", signature.escape_ascii()), found.to_string()));
    }
    let array = array(block)?;
    let (number, saved) = array.split_at(2);
    for (stride, saved) in block.chunks_exact_mut(STRIDE).zip(saved.chunks_exact(2)) {
        let end = &mut stride[STRIDE - 2..];
        if end != number {
            return Err(flaw("one update sequence number", "two: it was written only in part"));
        }
        end.copy_from_slice(saved);
    }
    Ok(())
}

/// Does what [`remove`] undoes, with the next sequence number.
pub(super) fn apply(block: &mut [u8]) -> Result<(), Flaw> {
    let mut array = array(block)?;
    // 0 and FFFF are never used.
    let number = match u16::from_le_bytes([array[0], array[1]]) {
        0xfffe.. => 1,
        number => number + 1,
    };
    array[..2].copy_from_slice(&number.to_le_bytes());
    for (stride, saved) in block.chunks_exact_mut(STRIDE).zip(array[2..].chunks_exact_mut(2)) {
        let end = &mut stride[STRIDE - 2..];
        saved.copy_from_slice(end);
        end.copy_from_slice(&number.to_le_bytes());
    }
    let at = usize::from(u16::from_le_bytes([block[4], block[5]]));
    block[at..at + array.len()].copy_from_slice(&array);
    Ok(())
}

/// Two bytes each in the update sequence array of a record of `len` bytes.
pub(super) fn entries(len: usize) -> usize {
    len / STRIDE + 1
}

/// The update sequence number.
pub(super) fn number(block: &[u8]) -> Result<u16, Flaw> {
    let array = array(block)?;
    Ok(u16::from_le_bytes([array[0], array[1]]))
}

/// The update sequence array: the number, then two bytes for each stride. It lies within the first stride.
fn array(block: &[u8]) -> Result<Vec<u8>, Flaw> {
    let field =
        |at: usize| block.get(at..at + 2).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let (at, count) = (field(4), field(6));
    let len = 2 * count;
    let found = block.get(at..at + len).filter(|_| {
        count == entries(block.len()) && (8..=STRIDE - 2).contains(&at) && at + len <= STRIDE - 2
    });
    found.map(<[u8]>::to_vec).ok_or_else(|| {
        let expected = format!("an update sequence array of {} entries", entries(block.len()));
        flaw(expected, format!("{count} entries at byte {at}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_is_removed_again() {
        let mut block: Vec<u8> = (0..1024).map(|i| (i / 7) as u8).collect();
        block[..8].copy_from_slice(b"FILE\x30\0\x03\0");
        block[0x30..0x32].copy_from_slice(&[0xfe, 0xff]);
        let before = block.clone();
        apply(&mut block).unwrap();
        assert_eq!(
            (&block[0x30..0x32], &block[510..512], &block[1022..]),
            (&[1, 0][..], &[1, 0][..], &[1, 0][..])
        );
        remove(&mut block, b"FILE").unwrap();
        assert_eq!(block[..0x30], before[..0x30]);
        assert_eq!(block[0x36..], before[0x36..]);
        apply(&mut block).unwrap();
        block[511] ^= 1;
        assert!(remove(&mut block, b"FILE").is_err());
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        for (at, entries) in
            [(0, 3), (4, 3), (510, 3), (505, 3), (0xffff, 3), (0x30, 2), (0x30, 0), (0x30, 0xffff)]
        {
            let mut block = vec![0; 1024];
            block[..4].copy_from_slice(b"FILE");
            block[4..6].copy_from_slice(&u16::to_le_bytes(at));
            block[6..8].copy_from_slice(&u16::to_le_bytes(entries));
            assert!(remove(&mut block, b"FILE").is_err(), "{at} {entries}");
            assert!(apply(&mut block).is_err(), "{at} {entries}");
        }
    }
}
