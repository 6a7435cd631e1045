"""Bills of materials: what is in an image, as CycloneDX 1.5."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Component:
    """One package in an image."""

    kind: str
    """`deb` or `pypi`."""
    name: str
    version: str
    licence: str = ""
    """As the package itself says; Debian's are in the image, under usr/share/doc."""
    source: str = ""
    """Debian's source package."""


def write(path: Path, name: str, title: str, arch: str, components: Sequence[Component]) -> None:
    """Write the bill of an image; the same for the same content."""
    repository, version = name.split(":")
    described = sorted((_entry(part, arch) for part in components), key=lambda entry: str(entry["purl"]))
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": name,
                "name": repository,
                "version": version,
                "description": title,
                "properties": [{"name": "umiak:arch", "value": arch}],
            }
        },
        "components": described,
        "dependencies": [{"ref": name, "dependsOn": [entry["bom-ref"] for entry in described]}],
    }
    path.write_text(json.dumps(told, indent=1) + "\n")


def _entry(part: Component, arch: str) -> dict[str, Any]:
    if part.kind == "deb":
        identifier = f"pkg:deb/debian/{part.name}@{quote(part.version, safe='')}?arch={arch}&distro=debian-12"
    else:
        identifier = f"pkg:pypi/{re.sub('[-_.]+', '-', part.name).lower()}@{quote(part.version, safe='')}"
    found: dict[str, Any] = {"type": "library", "bom-ref": identifier, "name": part.name, "version": part.version}
    if part.licence and re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", part.licence):
        found["licenses"] = [{"expression": part.licence}]
    elif part.licence:
        found["licenses"] = [{"license": {"name": part.licence}}]
    if part.source:
        found["properties"] = [{"name": "debian:source", "value": part.source}]
    return {**found, "purl": identifier}
