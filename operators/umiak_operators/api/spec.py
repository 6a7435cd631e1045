"""What every spec shares: frozen, closed, camelCase outside; and an error that names the field and the fix."""

import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from umiak_operators.api.resource import Resource
from umiak_workers.contract.errors import UmiakError

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$"

Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Uri = Annotated[str, Field(min_length=1, max_length=2048)]
Share = Annotated[float, Field(ge=0, le=1)]


class InvalidSpec(UmiakError):
    """A resource cannot be used as written: `field` is the dotted path, `message` says what is wrong and the fix."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Spec(BaseModel):
    """Base of every part of a spec."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=to_camel, populate_by_name=True
    )


S = TypeVar("S", bound=Spec)
_OBJECT_NAME = re.compile(NAME_PATTERN)


def parse_spec(kind: type[S], resource: Resource) -> S:
    """The spec of a resource, defaults filled in; raises InvalidSpec for the first thing that is wrong."""
    if not _OBJECT_NAME.match(resource.key.name):
        raise InvalidSpec("metadata.name", "use at most 63 lower-case letters, digits and '-' (it becomes a label)")
    try:
        return kind.model_validate(resource.spec)
    except ValidationError as error:
        raise _first(kind, error) from error


def error_below(fields: tuple[str, ...], message: str) -> PydanticCustomError:
    """For a validator of several fields to raise: blames one of them, where pydantic names what holds them all."""
    return PydanticCustomError("value_error", "{message}", {"message": message, "below": fields})


def _first(kind: type[Spec], error: ValidationError) -> InvalidSpec:
    found = error.errors()
    item = next((one for one in found if one["type"] == "extra_forbidden"), found[0])  # a typo is also a missing field
    path = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _place(item))
    return InvalidSpec(path, _advice(kind, item["type"], item["msg"], item["loc"], item.get("input")))


def _place(item: ErrorDetails) -> tuple[int | str, ...]:
    """Where an error is; see error_below."""
    return (*item["loc"], *item.get("ctx", {}).get("below", ()))


def _advice(kind: type[Spec], error: str, message: str, loc: tuple[int | str, ...], given: Any) -> str:
    if error == "missing":
        return "is required"
    if error == "extra_forbidden":
        return f"is not a field here; known: {', '.join(_fields(kind, loc[:-1]))}"
    text = message.removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return text if error == "value_error" else f"{text}, not {given!r}"


def _fields(kind: type[Spec], loc: tuple[int | str, ...]) -> list[str]:
    """Names that may stand at `loc`."""
    schema = kind.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in loc:
        node = node["items"] if isinstance(part, int) else node["properties"][part]
        node = _resolve(schema, node)
    return sorted(node.get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for choice in node.get("anyOf", ()):
        if "$ref" in choice:
            node = choice
    if "$ref" not in node:
        return node
    found: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return found
