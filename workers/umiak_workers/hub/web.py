"""What the hub's routes share: the parts of their paths, and JSON bodies that are bounded before they are read."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Path, Request, Response
from pydantic import BaseModel

from umiak_workers.adapters.serving import read_body
from umiak_workers.contract import wire

M = TypeVar("M", bound=BaseModel)
_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
DigestPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
NamePath = Annotated[str, Path(pattern=_NAME)]
UidPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
NumberPath = Annotated[int, Path(ge=0, lt=10**18)]
Guard = Sequence[Any]
"""`Depends` that lets only the right callers through."""
MOST_JSON = 4 << 20
"""bytes of a JSON body"""
DONE = 204


async def json_body(request: Request, kind: type[M]) -> M:
    """The body as a message; raises TooLarge, or MessageError that names the field."""
    return wire.parse(kind, await read_body(request, MOST_JSON))


def said(message: BaseModel) -> Response:
    """A message as an answer."""
    return Response(message.model_dump_json(), media_type="application/json")
