"""When is a live object what was wanted? When what is wanted is a structural part of it.

A server adds defaults, status and other managers' fields to every object; comparing whole bodies would write for
ever. So the wanted object is laid over the live one: maps by key, lists of the Kubernetes API that are maps in
disguise by their merge key, other lists element by element, quantities by value.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
}
"""Field -> merge key, as the API's own schema (`x-kubernetes-list-map-keys`) has them for what plans contain."""
_PORT_KEYS = (("containerPort", "protocol"), ("port", "protocol"))
_DEFAULTS = {"protocol": "TCP"}
_QUANTITIES = frozenset(("limits", "requests", "sizeLimit", "capacity"))
_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?$")


def missing(wanted: Any, live: Any, path: tuple[str, ...] = ()) -> str | None:
    """The first path at which `live` does not hold what `wanted` says; None if it holds all of it."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return _missing_in_map(wanted, live, path)
    if _is_list(wanted) and _is_list(live):
        return _missing_in_list(wanted, live, path)
    return None if _same(wanted, live, path) else ".".join(path) or "(root)"


def _missing_in_map(wanted: Mapping[str, Any], live: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    for key, value in wanted.items():
        here = (*path, key)
        if key not in live:
            if value in ("", None) or (isinstance(value, Mapping | list | tuple) and not value):
                continue  # a server stores nothing for an empty string, map or list
            return ".".join(here)
        if (found := missing(value, live[key], here)) is not None:
            return found
    return None


def _missing_in_list(wanted: Sequence[Any], live: Sequence[Any], path: tuple[str, ...]) -> str | None:
    keys = _merge_keys(wanted, path)
    if keys is None:
        if len(wanted) != len(live):
            return ".".join(path)
        pairs = list(zip(wanted, live, strict=True))
    else:
        known = {_identity(item, keys): item for item in live}
        pairs = [(item, known.get(_identity(item, keys))) for item in wanted]
    for number, (item, other) in enumerate(pairs):
        here = (*path, str(item.get("name", number)) if isinstance(item, Mapping) else str(number))
        if (found := missing(item, other, here)) is not None:
            return found
    return None


def _merge_keys(items: Sequence[Any], path: tuple[str, ...]) -> tuple[str, ...] | None:
    if not path or not all(isinstance(item, Mapping) for item in items):
        return None
    if path[-1] == "ports":
        return next((keys for keys in _PORT_KEYS if all(keys[0] in item for item in items)), None)
    return _MERGE_KEYS.get(path[-1])


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, _DEFAULTS.get(key)) for key in keys)


def _same(wanted: Any, live: Any, path: tuple[str, ...]) -> bool:
    if isinstance(wanted, bool) or isinstance(live, bool):
        return wanted is live
    if wanted == live:
        return True
    if not _QUANTITIES.intersection(path):
        return False
    one, other = quantity(wanted), quantity(live)
    return one is not None and one == other


def quantity(value: Any) -> Decimal | None:
    """The number behind a Kubernetes quantity (`500m`, `1Gi`, `2`, 0.5); None if it is not one."""
    found = _QUANTITY.match(str(value)) if isinstance(value, str | int | float) else None
    try:
        return Decimal(found[1]) * _SUFFIXES[found[2] or ""] if found else None
    except ArithmeticError:
        return None


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def as_stored(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as a server keeps it: a Secret's write-only `stringData` becomes `data`; `status` is not ours to say."""
    stored = {key: value for key, value in body.items() if key not in ("stringData", "status")}
    if texts := body.get("stringData"):
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        stored["data"] = {**(body.get("data") or {}), **encoded}
    return stored


def body_hash(body: Mapping[str, Any]) -> str:
    """Sixteen hex characters over what a person or a controller could edit: all but status and bookkeeping."""
    meta = body.get("metadata") or {}
    kept = {key: meta[key] for key in ("name", "labels", "annotations", "ownerReferences") if meta.get(key)}
    rest = {key: value for key, value in body.items() if key not in ("metadata", "status")}
    text = json.dumps({**rest, "metadata": kept}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
