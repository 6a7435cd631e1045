"""How large an AVIF really is, before a pixel of it is decoded.

The size that an AVIF's container names is not the size that a decoder works at: libavif decodes the AV1 stream at its
own size and scales the result. So a tiny container may hold a picture of 16384x16384. What routers write is one still
picture in one plain layout; only that is read here, and its stream must be as large as its container says.

Boxes: ISO/IEC 14496-12; stream: AV1 bitstream specification, 5.3 and 5.5.
"""

import itertools
from collections.abc import Iterator

from umiak_workers.contract.errors import InvalidInput

BRAND = b"ftypavif"
_PARTS, _FACTS = [b"ftyp", b"meta", b"mdat"], [b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp"]
_ONE_PLACE = bytes.fromhex("00000000 4400 0001 0001 0000 0001")
"""`iloc` of one item in one piece: 32-bit offset and length follow."""
_ONE_ITEM = bytes.fromhex("00000000 0001")
_SEQUENCE, _DELIMITER, _STILL = 1, 2, 0b11
_WITHIN_A_PICTURE = (3, 4, 5, 6, 15)
"""OBUs after the sequence header: frame header, tile group, metadata, frame, padding."""
_MOST = 16
"""Boxes in a box, and OBUs in a stream: ours have five and three."""
_SIZE_BITS = 56
"""Of an OBU's size (leb128), 7 for each byte."""


def check_avif(data: bytes) -> None:
    """Raises InvalidInput for anything but what a router writes, its stream as large as its container says."""
    try:
        _check(data)
    except (_UnlikeOursError, LookupError, ValueError) as error:
        raise InvalidInput("the image/avif photo cannot be decoded: it is not one that a router writes") from error


class _UnlikeOursError(Exception):
    pass


def _check(data: bytes) -> None:
    parts = dict(_boxes(data, 0, len(data)))
    _must(list(parts) == _PARTS)
    facts = dict(_boxes(data, parts[b"meta"].start + 4, parts[b"meta"].stop))
    _must(list(facts) == _FACTS)
    stream, place, items = parts[b"mdat"], _bytes(data, facts[b"iloc"]), _bytes(data, facts[b"iinf"])
    where = stream.start.to_bytes(4, "big") + len(stream).to_bytes(4, "big")
    _must(place == _ONE_PLACE + where and items.startswith(_ONE_ITEM) and items[22:26] == b"av01")
    _must(int.from_bytes(items[6:10], "big") == len(items) - 6)
    properties = dict(_boxes(data, facts[b"iprp"].start, facts[b"iprp"].stop))
    named = [
        _bytes(data, span)
        for kind, span in _boxes(data, properties[b"ipco"].start, properties[b"ipco"].stop)
        if kind == b"ispe"
    ]
    size = _stream_size(_bytes(data, stream))
    _must(named == [bytes(4) + b"".join(length.to_bytes(4, "big") for length in size)])


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, range]]:
    """(type, where its content is) of the boxes between two places; each type once, sizes in 32 bits."""
    seen: set[bytes] = set()
    while start < stop:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        _must(8 <= size <= stop - start and kind not in seen and len(seen) < _MOST)
        seen.add(kind)
        yield kind, range(start + 8, start + size)
        start += size


def _stream_size(stream: bytes) -> tuple[int, int]:
    units = list(itertools.islice(_units(stream), _MOST + 1))
    _must(len(units) <= _MOST)
    kinds = [kind for kind, _ in units]
    _must(kinds[:2] == [_DELIMITER, _SEQUENCE] and set(kinds[2:]) <= set(_WITHIN_A_PICTURE))
    return _sequence_size(units[1][1])


def _units(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, content) of the stream's OBUs, which must have sizes and no extension."""
    at = 0
    while at < len(stream):
        header, at = stream[at], at + 1
        _must(header & 0b10000111 == 0b00000010)
        size = shift = 0
        while True:
            _must(shift < _SIZE_BITS)
            byte, at = stream[at], at + 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        _must(size <= len(stream) - at)
        yield header >> 3, stream[at : at + size]
        at += size


def _sequence_size(content: bytes) -> tuple[int, int]:
    """Of a reduced still picture header: profile 3 bits, still, reduced, level 5, bits of width and height, both."""
    bits = "".join(f"{byte:08b}" for byte in content[:16])
    _must(int(bits[3:5], 2) == _STILL)
    across, down = int(bits[10:14], 2) + 1, int(bits[14:18], 2) + 1
    return int(bits[18 : 18 + across], 2) + 1, int(bits[18 + across : 18 + across + down], 2) + 1


def _bytes(data: bytes, span: range) -> bytes:
    return data[span.start : span.stop]


def _must(so: bool) -> None:
    if not so:
        raise _UnlikeOursError
