//! The blocks and checksums of a snapshot. The digests were computed by Python's hashlib.

use diskport::disk::Patch;
use diskport::ebs::{BLOCK_SIZE, EbsBlock, EbsBlocks, EbsSummary};
use diskport::{Disk, Error, GIB};

const ZEROS: &str = "B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE=";
const SEVENS: &str = "tAwxgAgWAt0K1xXWD3v780t3erlGZ/MYbDLRljAlS8c=";
const TAIL: &str = "Fe7VEKNdy3PYlgurcwBGei0ROtkRTUcrGfCpsQdSLR0=";

/// Block 2 is sevens, and the last one, cut by the disk's end, begins with "tail".
fn disk() -> Disk {
    let patches = vec![
        Patch { offset: 2 * BLOCK_SIZE, bytes: vec![7; BLOCK_SIZE as usize] },
        Patch { offset: 9 * BLOCK_SIZE, bytes: b"tail".to_vec() },
    ];
    Disk::empty(9 * BLOCK_SIZE + 512, 512).patched(9 * BLOCK_SIZE + 512, patches).expect("fits")
}

fn all(mut blocks: EbsBlocks) -> (Vec<(u64, String)>, EbsSummary) {
    let found: Vec<EbsBlock> = (&mut blocks).collect::<Result<_, _>>().expect("reads");
    assert!(found.iter().all(|block| block.data.len() as u64 == BLOCK_SIZE));
    (found.iter().map(|block| (block.index, block.checksum())).collect(), blocks.summary())
}

#[test]
fn zeros_are_left_out_and_the_last_block_is_padded() {
    let (blocks, summary) = all(EbsBlocks::of(&disk()));
    assert_eq!(blocks, [(2, SEVENS.to_owned()), (9, TAIL.to_owned())]);
    assert_eq!((summary.changed_blocks, summary.volume_gib), (2, 1));
    assert_eq!(summary.checksum, "pSJQenuStGsFuRMeVREz6Uov2e3WDxVZju7s8ixU/8Y=");
}

#[test]
fn only_what_changed_since_the_parent_is_given() {
    let parent = disk();
    let zero = Patch { offset: 2 * BLOCK_SIZE, bytes: vec![0; BLOCK_SIZE as usize] };
    let changed = parent.patched(parent.size(), vec![zero]).expect("fits");
    let (blocks, summary) = all(EbsBlocks::since(&parent, &changed).expect("no smaller"));
    // A block that became zeros is written as zeros.
    assert_eq!(blocks, [(2, ZEROS.to_owned())]);
    assert_eq!(summary.changed_blocks, 1);
    let (blocks, summary) = all(EbsBlocks::since(&parent, &parent).expect("no smaller"));
    assert!(blocks.is_empty());
    // SHA-256 of nothing.
    assert_eq!(summary.checksum, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

#[test]
fn blocks_that_lie_together_are_told_apart() {
    let bytes =
        [vec![7; BLOCK_SIZE as usize], vec![0; BLOCK_SIZE as usize], vec![7; 2 * BLOCK_SIZE as usize]];
    let patch = Patch { offset: 0, bytes: bytes.concat() };
    let disk = Disk::empty(3 * GIB, 512).patched(3 * GIB, vec![patch]).expect("fits");
    let (blocks, summary) = all(EbsBlocks::of(&disk));
    assert_eq!(blocks, [0, 2, 3].map(|index| (index, SEVENS.to_owned())));
    assert_eq!(summary.volume_gib, 3);
}

#[test]
fn a_snapshot_is_no_smaller_than_its_parent() {
    let refused = EbsBlocks::since(&Disk::empty(3 * GIB, 512), &Disk::empty(2 * GIB, 512));
    assert!(matches!(refused.err(), Some(Error::OutputTooSmall { .. })));
}
