//! Where images are: at paths and in storages, which have names.

use diskport::chain::record_parent;
use diskport::check::Repairs;
use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::{Explicit, MemoryStorage};
use diskport::{Child, Disk, Error, MIB, Open, Place};

use super::support::{Shared, storage};

const DYNAMIC: OutputFormat = OutputFormat::Vhdx(Allocation::Dynamic);

/// A storage with an image whose first bytes are these.
fn image(format: OutputFormat, first: &[u8]) -> Shared {
    let file = Shared::default();
    Convert::new(&Disk::empty(8 * MIB, 512)).to(format).create(file.clone()).expect("writes");
    let disk = Open::new().open_writable(file.clone()).expect("opens");
    disk.write_at(first, 0).expect("writes");
    disk.close().expect("closes");
    file
}

fn first(disk: &Disk) -> [u8; 4] {
    let mut found = [0; 4];
    disk.read_at(&mut found, 0).expect("reads");
    found
}

#[test]
fn layers_and_errors_show_the_name_of_a_storage() {
    let file = image(DYNAMIC, b"base");
    let named = || Place::named("vms/7", file.clone());
    let disk = Open::new().open(named()).expect("opens");
    assert_eq!(disk.chain()[0].files()[0].name(), "vms/7");
    let writable = Open::new().open_writable(named()).expect("opens");
    assert_eq!(writable.warnings().count(), 0);
    assert!(writable.resize(3, false).is_err());
    // The footer of nothing, and everything that takes a place says where it is not.
    let junk = || Place::named("vms/8", vec![7; 4096]);
    let junk_file = || Place::named("vms/8", MemoryStorage::new([7; 4096]));
    let errors = [
        diskport::open(junk()).map(drop),
        Open::new().check(junk()).map(drop),
        Open::new().open_writable(junk_file()).map(drop),
        Open::new().repair(junk_file(), Repairs::Lossless).map(drop),
        record_parent(junk_file(), &disk, "base"),
    ];
    for error in errors {
        let error = error.expect_err("is no image").to_string();
        assert!(error.contains("vms/8"), "{error}");
    }
    let too_large = Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::MonolithicFlat)).create(junk_file());
    assert!(matches!(too_large, Err(Error::Unsupported { .. })), "more than one file");
}

#[test]
fn a_parent_and_an_extent_may_lie_in_storages() {
    let base = image(DYNAMIC, b"base");
    let parent = Open::new().open(Place::named("golden", base.clone())).expect("opens");
    let file = Shared::default();
    let child = Child::of(&parent).parent_name("base.vhdx").create(file.clone()).expect("makes");
    child.open().expect("opens").close().expect("closes");
    assert!(matches!(Open::new().open(file.clone()), Err(Error::NotAllowed { .. })), "nobody looks for it");
    let disk = Open::new().parent(Place::named("golden", base)).open(file).expect("opens");
    let names: Vec<_> = disk.chain().iter().map(|layer| layer.files()[0].name()).collect();
    assert_eq!((first(&disk), &names[..]), (*b"base", &["(image)", "golden"][..]));

    let folder = tempfile::tempdir().expect("a folder");
    let flat = OutputFormat::Vmdk(Subformat::MonolithicFlat);
    Convert::new(&parent).to(flat).create(folder.path().join("a.vmdk")).expect("writes");
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("reads");
    let (text, bytes) = (read("a.vmdk"), read("a-flat.vmdk"));
    let open = Open::new().extent("a-flat.vmdk", Place::named("the extent", bytes.clone()));
    let disk = open.open(text.clone()).expect("opens");
    assert_eq!((first(&disk), disk.chain()[0].files()[1].name()), (*b"base", "the extent"));
    let refused = open.open_writable(MemoryStorage::new(&text[..]));
    assert!(matches!(refused, Err(Error::NotAllowed { .. })), "an extent that is only read: {refused:?}");
    let open = Open::new().resolver(Explicit::from([("a-flat.vmdk", storage(bytes))]));
    assert_eq!(first(&open.open(text).expect("opens")), *b"base");
}

#[test]
fn what_a_storage_cannot_take_is_refused_before_it_is_written_to() {
    let parent = Open::new().open(Place::named("golden", image(DYNAMIC, b"base"))).expect("opens");
    let empty = Shared::default();
    match Child::of(&parent).create(Place::named("vms/9", empty.clone())) {
        Err(Error::ParentUnreachable { child, parent }) => {
            assert_eq!((&child[..], &parent[..]), ("vms/9", "golden"));
        }
        other => panic!("by which name would it find its parent? {other:?}"),
    }
    #[cfg(feature = "digest")]
    {
        let refused = Convert::new(&parent).resumable(true).create(empty.clone());
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    }
    assert!(empty.to_vec().is_empty());
}
