"""One way to put a JSON header and binary blobs into one HTTP body.

It is the layout of the Open Inference Protocol's binary tensor extension (JSON first, raw bytes after, the header's
length in `Inference-Header-Content-Length`), used for examples and cloud answers as well, so that there is one codec.
"""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from umiak_workers.contract.errors import MessageError

HEADER_LENGTH = "Inference-Header-Content-Length"
CONTENT_TYPE = "application/octet-stream"


class Message(BaseModel):
    """Base of what travels: frozen, versioned, tolerant of fields that a newer release added."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def pack(header: BaseModel, blobs: tuple[bytes, ...]) -> tuple[dict[str, str], bytes]:
    """(HTTP headers, body) of a message whose header states each blob's size in order."""
    head = header.model_dump_json(exclude_none=True).encode()
    return {HEADER_LENGTH: str(len(head)), "Content-Type": CONTENT_TYPE}, b"".join((head, *blobs))


def unpack(kind: type[M], header_length: str | None, body: bytes) -> tuple[M, bytes]:
    """(header, the remaining bytes); raises MessageError that names the field."""
    try:
        length = int(header_length or "")
    except ValueError as error:
        raise MessageError(f"{HEADER_LENGTH} must be the length of the JSON header in bytes") from error
    if not 0 < length <= len(body):
        raise MessageError(f"{HEADER_LENGTH} is {length}, the body has {len(body)} bytes")
    return parse(kind, body[:length]), body[length:]


def parse(kind: type[M], text: bytes | str) -> M:
    """A message from its JSON; raises MessageError that names the field."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise MessageError(f"{kind.__name__}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """A pydantic error as one line that names each field."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or '(root)'}: {item['msg']}" for item in error.errors()[:5]
    )


def split(blob: bytes, sizes: tuple[int, ...]) -> tuple[bytes, ...]:
    """Cut `blob` into consecutive parts of the given sizes (bytes); raises MessageError unless they fit exactly."""
    if sum(sizes) != len(blob) or any(size < 0 for size in sizes):
        raise MessageError(f"blobs of {sum(sizes)} bytes announced, {len(blob)} received")
    parts, start = [], 0
    for size in sizes:
        parts.append(blob[start : start + size])
        start += size
    return tuple(parts)
