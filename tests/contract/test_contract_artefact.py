"""The manifest's digest and the card's rules."""

import hashlib
import json

import pytest

from umiak_workers.contract.artefact import (
    FILES,
    Card,
    FileFact,
    InputSpec,
    Manifest,
    OutputSpec,
    model_digest,
    parse_card,
    parse_manifest,
)
from umiak_workers.contract.errors import ArtefactError

FACTS = {name: FileFact(sha256=f"{number:064x}", size=number + 1) for number, name in enumerate(FILES)}


def card(**changes: object) -> dict[str, object]:
    facts: dict[str, object] = {
        "schema": "umiak.dev/card/v1",
        "name": "tiny",
        "classes": ["ground", "sky"],
        "input": {"name": "x", "layout": "NHWC", "dtype": "uint8", "height": 32, "width": 48},
        "outputs": {"logits": "logits"},
        "licence": "Apache-2.0",
    }
    return {**facts, **changes}


def test_digest_is_the_sha256_of_the_canonical_manifest() -> None:
    manifest = Manifest(files=FACTS)
    text = manifest.canonical_bytes()
    assert json.loads(text) == {
        "schema": "umiak.dev/model/v1",
        "files": {name: fact.model_dump() for name, fact in FACTS.items()},
    }
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()
    assert model_digest(manifest) == "sha256:" + hashlib.sha256(text).hexdigest()
    assert parse_manifest(text) == manifest


def test_digest_does_not_depend_on_the_order_of_files() -> None:
    other = Manifest(files=dict(reversed(FACTS.items())))
    assert model_digest(other) == model_digest(Manifest(files=FACTS))


def test_manifest_in_another_spelling_is_refused() -> None:
    text = json.dumps(json.loads(Manifest(files=FACTS).canonical_bytes()), indent=1).encode()
    with pytest.raises(ArtefactError, match="canonical"):
        parse_manifest(text)


@pytest.mark.parametrize(
    "files",
    [
        {name: fact for name, fact in FACTS.items() if name != "golden.safetensors"},
        {**FACTS, "../evil": FileFact(sha256="0" * 64, size=1)},
    ],
)
def test_manifest_lists_exactly_the_known_files(files: dict[str, FileFact]) -> None:
    text = json.dumps({"schema": "umiak.dev/model/v1", "files": {n: f.model_dump() for n, f in files.items()}})
    with pytest.raises(ArtefactError, match="exactly"):
        parse_manifest(text.encode())


def test_card_survives_its_own_spelling() -> None:
    found = parse_card(json.dumps(card(palette=[[1, 2, 3], [4, 5, 6]], layer_sets={"head": ["head."]})))
    assert parse_card(found.canonical_bytes()) == found
    assert found.void == 255


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["sky", "sky"]}, "twice"),
        ({"palette": [[1, 2, 3]]}, "1 colours for 2 classes"),
        ({"void": 1}, "is the id of class 'sky'"),
        ({"colour": 1}, "colour"),
        ({"name": "../x"}, "name"),
        ({"metrics": {"miou": "0.5"}}, "metrics"),
    ],
)
def test_wrong_card_is_refused_with_the_fields_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        parse_card(json.dumps(card(**changes)))


def test_uint8_input_has_no_mean() -> None:
    with pytest.raises(ValueError, match="inside the graph"):
        InputSpec(name="x", layout="NHWC", dtype="uint8", height=32, width=32, mean=(0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="positive"):
        InputSpec(name="x", layout="NCHW", dtype="float32", height=32, width=32, std=(1.0, 0.0, 1.0))


def test_metrics_must_be_finite() -> None:
    spec = InputSpec(name="x", layout="NHWC", dtype="uint8", height=32, width=32)
    plain = Card(name="t", classes=("a", "b"), input=spec, outputs=OutputSpec(logits="y"), licence="x")
    assert plain.with_metrics({"miou": 0.5}, "me").metrics == {"miou": 0.5}
    with pytest.raises(ArtefactError, match="finite"):
        plain.with_metrics({"miou": float("nan")}, "me")
