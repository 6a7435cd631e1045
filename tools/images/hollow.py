"""Shared libraries that can be linked against and never called: for a PyTorch built for GPUs on a machine without one.

Such a PyTorch names the GPU's libraries as needed, so the loader insists on them, though without a GPU no function of
theirs is ever called. A hollow library has the same name, symbols and versions as the real one; every symbol leads to
an instruction that stops the process.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_NEEDED: Final = 1
_LOAD, _DYN, _STACK = 1, 2, 0x6474E551
_PAGE: Final = 0x1000
_STOP: Final = b"\x0f\x0b"  # ud2
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _VERSYM, _VERDEF, _VERDEFNUM = (
    4, 5, 6, 10, 11, 14, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD,
)  # fmt: skip
_ANY_VERSION: Final = 1


@dataclass(frozen=True)
class Exports:
    """What others can see of a library."""

    soname: str
    symbols: tuple[tuple[str, str | None], ...]
    """Names with their versions."""


def exports(library: Path) -> Exports:
    """Read an x86-64 library's dynamic symbols."""
    return _Reader(library.read_bytes()).exports()


def needed(program: Path) -> tuple[str, ...]:
    """The libraries that an x86-64 program or library asks the loader for."""
    return _Reader(program.read_bytes()).needed()


def write(found: Exports, target: Path) -> None:
    """Write the hollow library."""
    versions = sorted({version for _, version in found.symbols if version is not None})
    index = {version: number for number, version in enumerate(versions, 2)}
    strings = _Strings()
    soname = strings.add(found.soname)
    version_names = [strings.add(version) for version in versions]
    names = [strings.add(name) for name, _ in found.symbols]

    count = len(found.symbols) + 1
    at = _HEADER.size + 4 * _SEGMENT.size
    places: dict[int, int] = {}
    parts: list[bytes] = []

    def place(tag: int, content: bytes) -> None:
        nonlocal at
        padding = -at % 8
        places[tag] = at + padding
        parts.append(bytes(padding) + content)
        at += padding + len(content)

    place(0, _STOP)
    symbols = b"".join(_SYMBOL.pack(name, 0x12, 0, 1, places[0], len(_STOP)) for name in names)
    place(_SYMTAB, bytes(_SYMBOL.size) + symbols)
    place(_HASH, _hash_table([name for name, _ in found.symbols]))
    place(
        _VERSYM, struct.pack(f"<{count}H", 0, *(index.get(version or "", _ANY_VERSION) for _, version in found.symbols))
    )
    place(_VERDEF, _version_table([(found.soname, soname), *zip(versions, version_names, strict=True)]))
    place(_STRTAB, bytes(strings.content))

    dynamic_at = at + -at % _PAGE
    entries = [(tag, places[tag]) for tag in (_HASH, _STRTAB, _SYMTAB, _VERSYM, _VERDEF)]
    entries += [
        (_SONAME, soname),
        (_STRSZ, len(strings.content)),
        (_SYMENT, _SYMBOL.size),
        (_VERDEFNUM, len(versions) + 1),
    ]
    dynamic = b"".join(_DYNAMIC.pack(*entry) for entry in [*entries, (0, 0)])
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = _HEADER.pack(ident, 3, 62, 1, 0, _HEADER.size, 0, 0, _HEADER.size, _SEGMENT.size, 4, 64, 0, 0)
    segments = (
        (_LOAD, 5, 0, 0, 0, at, at, _PAGE),
        (_LOAD, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), _PAGE),
        (_DYN, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8),
        (_STACK, 6, 0, 0, 0, 0, 0, 16),
    )
    body = header + b"".join(_SEGMENT.pack(*segment) for segment in segments) + b"".join(parts)
    target.unlink(missing_ok=True)
    target.write_bytes(body + bytes(dynamic_at - at) + dynamic)
    target.chmod(0o755)


class _Strings:
    def __init__(self) -> None:
        self.content = bytearray(1)

    def add(self, text: str) -> int:
        found = len(self.content)
        self.content += text.encode() + b"\0"
        return found


class _Reader:
    """An ELF file's dynamic section, by segments: section headers may be stripped."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        header = _HEADER.unpack_from(data)
        self._segments = [
            _SEGMENT.unpack_from(data, header[5] + number * _SEGMENT.size) for number in range(header[10])
        ]
        dynamic = b"".join(data[part[2] : part[2] + part[5] // 16 * 16] for part in self._segments if part[0] == _DYN)
        entries = _DYNAMIC.iter_unpack(dynamic)
        self._entries = tuple(entries)
        self._dynamic = dict(self._entries)

    def needed(self) -> tuple[str, ...]:
        """Names of libraries."""
        return tuple(self._text(value) for tag, value in self._entries if tag == _NEEDED)

    def exports(self) -> Exports:
        """Symbols that are defined here."""
        versions = dict(self._versions())
        table, marks = self._at(_SYMTAB), self._dynamic.get(_VERSYM)
        found = []
        for number in range(1, self._count()):
            name, _, _, section, _, _ = _SYMBOL.unpack_from(self._data, table + number * _SYMBOL.size)
            if section:
                mark = struct.unpack_from("<H", self._data, self._at(_VERSYM) + 2 * number)[0] & 0x7FFF if marks else 1
                found.append((self._text(name), versions.get(mark)))
        return Exports(self._text(self._dynamic[_SONAME]), tuple(found))

    def _versions(self) -> Iterator[tuple[int, str]]:
        at = self._at(_VERDEF) if _VERDEF in self._dynamic else 0
        while at:
            _, flags, number, _, _, first, following = struct.unpack_from("<HHHHIII", self._data, at)
            if not flags & 1:
                yield number, self._text(struct.unpack_from("<I", self._data, at + first)[0])
            at = at + following if following else 0

    def _count(self) -> int:
        """The symbol table's length is told by its hash tables alone."""
        if _HASH in self._dynamic:
            return int(struct.unpack_from("<II", self._data, self._at(_HASH))[1])
        at = self._at(0x6FFFFEF5)  # DT_GNU_HASH
        buckets, first, bloom, _ = struct.unpack_from("<IIII", self._data, at)
        starts = at + 16 + 8 * bloom
        last = max(struct.unpack_from(f"<{buckets}I", self._data, starts))
        chain = starts + 4 * buckets - 4 * first
        while not struct.unpack_from("<I", self._data, chain + 4 * last)[0] & 1:
            last += 1
        return last + 1

    def _at(self, tag: int) -> int:
        """Where in the file a table begins."""
        address = self._dynamic[tag]
        for kind, _, offset, virtual, _, size, _, _ in self._segments:
            if kind == _LOAD and virtual <= address < virtual + size:
                return int(offset + address - virtual)
        raise ValueError(f"address {address:#x} is in no segment")

    def _text(self, offset: int) -> str:
        start = self._at(_STRTAB) + offset
        return self._data[start : self._data.index(b"\0", start)].decode()


def _elf_hash(name: str) -> int:
    found = 0
    for byte in name.encode():
        found = (found << 4) + byte
        high = found & 0xF0000000
        found = (found ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return found


def _hash_table(names: list[str]) -> bytes:
    buckets = [0] * (len(names) // 2 + 1)
    chains = [0] * (len(names) + 1)
    for number, name in enumerate(names, 1):
        bucket = _elf_hash(name) % len(buckets)
        chains[number], buckets[bucket] = buckets[bucket], number
    return struct.pack(f"<II{len(buckets)}I{len(chains)}I", len(buckets), len(chains), *buckets, *chains)


def _version_table(versions: list[tuple[str, int]]) -> bytes:
    found = b""
    for number, (name, string) in enumerate(versions, 1):
        following = 0 if number == len(versions) else 28
        found += struct.pack("<HHHHIII", 1, int(number == 1), number, 1, _elf_hash(name), 20, following)
        found += struct.pack("<II", string, 0)
    return found
