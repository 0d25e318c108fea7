"""Prints the SHA-256 of all keys and values of a registry hive: read_hive.py READER HIVE [LOG1 LOG2].

READER is hivex, Registry (python-registry), or regipy, which replays the logs first. libregf is left out: it reads
data of one byte that lies in the value's record as 0.
"""
import hashlib
import sys

digest = hashlib.sha256()


def put(*fields):
    for field in fields:
        field = field if isinstance(field, bytes) else str(field).encode()
        digest.update(len(field).to_bytes(4, "little") + field)


def hivex_keys(path):
    import hivex

    hive = hivex.Hivex(path)

    def walk(node, depth):
        put(depth, hive.node_name(node) if depth else "")
        for value in hive.node_values(node):
            kind, data = hive.value_value(value)
            put(hive.value_key(value), kind, data)
        for child in hive.node_children(node):
            walk(child, depth + 1)

    walk(hive.root(), 0)


def registry_keys(path):
    from Registry import Registry

    def walk(key, depth):
        put(depth, key.name() if depth else "")
        for value in key.values():
            name = "" if value.name() == "(default)" else value.name()
            put(name, value.value_type(), value.raw_data() or b"")
        for child in key.subkeys():
            walk(child, depth + 1)

    walk(Registry.Registry(path).root(), 0)


def regipy_keys(path, *logs):
    from regipy.recovery import apply_transaction_logs

    replayed, _ = apply_transaction_logs(path, *logs, restored_hive_path=path + ".replayed")
    registry_keys(replayed)


readers = {"hivex": hivex_keys, "Registry": registry_keys, "regipy": regipy_keys}
readers[sys.argv[1]](*sys.argv[2:])
print(digest.hexdigest())
