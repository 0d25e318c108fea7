//! What can be wrong with a hive.

use crate::windows::faults::faults;

faults! {
    /// A kind of fault of a registry hive.
    HiveFault:
    // States.
    NotClosed "sequence" Warning "state: the two sequence numbers differ, and no log can be replayed",
    Replayed "replayed" Note "state: the hive was not closed, and its logs were replayed",
    Transactions "transactions" Note "state: there may be transactions, whose own logs are not looked at",
    // The base block, bins, cells.
    BaseBlock "base-block" Error "the base block is none of a hive that can be read",
    Checksum "checksum" Error "the base block's checksum is wrong",
    FileType "file-type" Error "the file is no primary file of a hive",
    BinsSize "bins-size" Error "the size of the bins is none, or goes past the end of the file",
    Bin "bin" Error "a bin has no signature, another place than its own, or a wrong size",
    CellTiling "cell-tiling" Error "a cell does not end where the next one begins",
    CellFree "cell-free" Error "something lies in a free cell, or in none",
    CellShared "cell-shared" Error "a cell is used twice",
    CellLeak "cell-leak" Note "a cell in use that nothing leads to",
    Unreadable "unreadable" Error "a structure is none of its kind, or does not fit its cell",
    // Keys.
    RootFlags "root-flag" Warning "a key is marked as a root and is none, or the other way round",
    KeyName "key-name" Error "a key has a name that Windows does not allow",
    Parent "parent" Error "a key names another parent",
    Depth "depth" Error "keys lie in more levels than Windows allows",
    SubkeyCount "subkey-count" Error "a key does not have as many subkeys as it says",
    Order "order" Error "subkeys are not in the order of their names",
    CaseTwin "case-twin" Error "two subkeys have one name",
    Hash "hash" Error "the hash or the hint of a subkey's name is wrong",
    VolatileSubkeys "volatile" Note "a key counts volatile subkeys",
    MaxName "max-name" Warning "a name below a key is longer than the key says",
    MaxClass "max-class" Warning "a subkey's class name is longer than the key says",
    // Values.
    ValueTwin "value-twin" Error "two values of a key have one name",
    MaxData "max-data" Warning "a value's data is longer than the key says",
    DataNil "data-nil" Error "a value without data names a cell",
    DataLong "data-long" Error "a value has more data than its cell holds, or than a value may have",
    BigCount "big-count" Error "big data has not as many segments as it needs",
    // Security.
    SecurityNone "sk-nil" Error "a key has no security",
    SecurityRing "sk-ring" Error "security cells are not linked in one ring",
    SecurityCount "sk-count" Error "a security cell does not count the keys that use it",
    Descriptor "descriptor" Error "a security descriptor's parts do not lie in it",
}
