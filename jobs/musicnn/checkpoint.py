"""Read the variables of a TensorFlow checkpoint without TensorFlow.

A checkpoint is two files. The index is a LevelDB table (the format of LevelDB's doc/table_format.md, with
fixed-width integers little-endian and the others varints) from a variable's name to a `BundleEntryProto` of
TensorFlow's tensor_bundle.proto: type, shape, offset and size. The data file holds the values, one variable
after the other. Only what `tf.train.Saver` writes is read: one data file, blocks without compression.
"""

import struct
from collections.abc import Iterator

import numpy as np

_TABLE_MAGIC = 0xDB4775248B80FB57
# Two block handles, padded to 40 bytes, and the magic number.
_FOOTER_BYTES = 48
# The first byte after a block: 0 for no compression.
_UNCOMPRESSED = 0

# tensorflow.DataType
_FLOAT32 = 1

# Fields of BundleEntryProto, of TensorShapeProto, and of its Dim.
_DTYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5
_DIM = 2
_DIM_SIZE = 1

# Wire types of protocol buffers.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class CheckpointError(ValueError):
    """The bytes are not a checkpoint that can be read; the message is one line: expected …, found …."""


def read_checkpoint(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Return the float32 variables of a checkpoint by name, each in its shape.

    Parameters
    ----------
    index
        Content of the `.index` file.
    data
        Content of the `.data-00000-of-00001` file.

    Raises
    ------
    CheckpointError
        The index is no uncompressed table, or a variable lies outside the data.
    """
    variables = {}
    for key, value in _table_entries(index):
        entry = dict(_proto_fields(value))
        if key and entry.get(_DTYPE) == _FLOAT32:  # the empty key is the header
            variables[key.decode()] = _variable(key.decode(), entry, data)
    return variables


def _variable(name: str, entry: dict[int, int | bytes], data: bytes) -> np.ndarray:
    """Return the values that an entry of the index points at."""
    shape = tuple(
        int(dict(_proto_fields(bytes(dim))).get(_DIM_SIZE, 0))
        for field, dim in _proto_fields(bytes(entry.get(_SHAPE, b"")))
        if field == _DIM
    )
    # Protocol buffers leave out a zero.
    offset = int(entry.get(_OFFSET, 0))
    size = int(entry.get(_SIZE, 0))
    count = int(np.prod(shape, dtype=np.int64))
    if size != 4 * count or offset + size > len(data):
        raise CheckpointError(
            f"{name}: expected {4 * count} bytes at {offset} of {len(data)}, found a size of {size}"
        )
    return np.frombuffer(data, "<f4", count, offset).reshape(shape)


def _table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a LevelDB table, in order."""
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != _TABLE_MAGIC:
        raise CheckpointError(f"expected a LevelDB table, found {len(table)} bytes without its magic number")
    _, position = _handle(footer, 0)  # of the meta-index, which is empty
    index, _ = _handle(footer, position)
    for _, value in _block_entries(_block(table, *index)):
        block, _ = _handle(value, 0)
        yield from _block_entries(_block(table, *block))


def _block(table: bytes, offset: int, size: int) -> bytes:
    if offset + size >= len(table) or table[offset + size] != _UNCOMPRESSED:
        raise CheckpointError(f"expected an uncompressed block of {size} bytes at {offset}, found another")
    return table[offset : offset + size]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a block's keys and values; a key holds only what differs from the key before."""
    (n_restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * n_restarts
    position = 0
    key = b""
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        size, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + size]
        position += size


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return a block's offset and size, and the position after them."""
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _proto_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field of a protocol buffer message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise CheckpointError(f"expected a protocol buffer, found wire type {wire_type}")
        yield number, message[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer in base 128, least significant group first, and the position after it."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise CheckpointError("expected a number, found the end of the data")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
