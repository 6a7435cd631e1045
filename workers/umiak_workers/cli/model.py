"""`umiak model`: put a model of your own into the shape that Umiak delivers, and look into such a folder."""

import json
from pathlib import Path
from typing import Annotated

import safetensors
import typer
import yaml
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from umiak_workers.adapters.artefacts import Artefact, folder_named, load_model, read_artefact, write_artefact
from umiak_workers.cli.import_sam import import_sam
from umiak_workers.cli.int8 import int8
from umiak_workers.cli.push import push
from umiak_workers.contract.artefact import Card, parse_card
from umiak_workers.contract.errors import ArtefactError, ConfigError
from umiak_workers.core.model import Tensors
from umiak_workers.core.scores import gate_scores
from umiak_workers.datasets.folder import read_photo
from umiak_workers.predictors.answering import check_golden, record_golden
from umiak_workers.predictors.onnx_graph import spare_tensors, strip

app = typer.Typer(help="Pack, inspect and push model artefacts.", no_args_is_help=True)
app.command()(push)
app.command("import-sam")(import_sam)
app.command()(int8)
console = Console()


@app.command()
def pack(
    graph: Annotated[Path, typer.Option(help="ONNX graph; its weights may be inside or left out.")],
    weights: Annotated[Path, typer.Option(help="safetensors file whose names are the graph's initializers.")],
    card: Annotated[Path, typer.Option(help="YAML or JSON: what the model is (docs/howto/own-model.md).")],
    golden: Annotated[Path, typer.Option(help="A photo whose answer is recorded to recognise the model by.")],
    out: Annotated[Path, typer.Option(help="The artefact folder to write.")],
    tolerance: Annotated[float, typer.Option(help="Largest allowed difference of a golden logit.")] = 0.01,
) -> None:
    """Make a model artefact from an ONNX graph and its weights."""
    facts, tensors = read_card(card), _tensors(weights)
    hollow = strip(_bytes(graph), tensors)
    if not facts.training_only:
        facts = facts.model_copy(update={"training_only": spare_tensors(hollow, tensors)})
    answer = record_golden(facts, hollow, tensors, read_photo(golden), tolerance)
    digest = write_artefact(out, facts, hollow, tensors, answer)
    check_golden(load_model(out, digest))
    console.print(f"{out}: {digest}")
    if facts.task in ("semantic-segmentation", "image-classification"):
        console.print(f"golden input answered: {gate_scores(answer.logits).model_dump()}")


@app.command()
def show(named: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or builtin:NAME.")]) -> None:
    """Verify an artefact, answer its golden input, and print its card."""
    folder = folder_named(named)
    artefact = read_artefact(folder)
    model = load_model(folder, artefact.digest)
    check_golden(model)
    console.print(f"{artefact.card.name}  {artefact.digest}\nevery file as its manifest says; golden input answered")
    console.print(_files(artefact))
    numbers = sum(int(tensor.size) for tensor in model.weights.values())
    console.print(f"{len(model.weights)} tensors, {numbers} numbers")
    text = json.loads(artefact.card.model_dump_json(by_alias=True))
    console.print(yaml.safe_dump(text, sort_keys=False, default_flow_style=None, width=110).rstrip(), markup=False)


def read_card(path: Path) -> Card:
    """A card from YAML or JSON; raises ConfigError or ArtefactError that names the field."""
    try:
        facts = yaml.safe_load(path.read_text(encoding="utf-8"))
        return parse_card(json.dumps(facts))
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"{path}: not a readable card ({error})") from error
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {error}") from error


def _files(artefact: Artefact) -> Table:
    table = Table("file", "bytes", "SHA-256")
    for name, fact in sorted(artefact.manifest.files.items()):
        table.add_row(name, str(fact.size), fact.sha256)
    return table


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _tensors(path: Path) -> Tensors:
    try:
        return dict(load_file(path))
    except (OSError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path}: not a readable safetensors file ({error})") from error
