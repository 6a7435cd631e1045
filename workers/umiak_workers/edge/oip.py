"""The Open Inference Protocol v2 on paper: an infer request read, an infer response written.

JSON tensors and the binary tensor extension (raw bytes after the JSON, their sizes in `binary_data_size`). The input is
`image` UINT8 [1,H,W,3]; outputs go by the task (`labels` UINT8 [1,H,W] of a segmentation); gate scores are response
parameters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from umiak_workers.contract.errors import InvalidInput
from umiak_workers.contract.messages import Scores, Task
from umiak_workers.contract.wire import CONTENT_TYPE, HEADER_LENGTH, explain
from umiak_workers.core.tasks import kind_of
from umiak_workers.core.tasks.kind import Output

IMAGE = {"name": "image", "datatype": "UINT8", "shape": [1, -1, -1, 3]}
_DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}
_UNSUPPORTED = ("shared_memory_region", "classification")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    parameters: dict[str, Any] = {}


class _Input(_Part):
    datatype: str
    shape: list[StrictInt]
    data: list[Any] | None = None


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[_Input] = Field(min_length=1, max_length=1)
    outputs: list[_Part] | None = None


@dataclass(frozen=True)
class Question:
    """What is asked: `image` HxWx3 uint8, and which outputs, each as raw bytes (True) or as JSON."""

    id: str | None
    image: NDArray[np.uint8]
    wanted: Mapping[str, bool]


def outputs(task: Task) -> list[dict[str, Any]]:
    """What a model of this task answers, as its metadata says it."""
    return [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in kind_of(task).outputs]


def read_request(body: bytes, header_length: str | None, max_pixels: int, task: Task) -> Question:
    """An infer request; raises InvalidInput that names what is wrong with it."""
    head, raw = _cut(body, header_length)
    try:
        request = _Request.model_validate_json(head)
    except ValidationError as error:
        raise InvalidInput(f"infer request: {explain(error)}") from error
    tensor = request.inputs[0]
    _supported(tensor)
    return Question(request.id, _image(tensor, raw, max_pixels), _wanted(request, kind_of(task).outputs))


def write_response(
    name: str, version: str, question: Question, tensors: Mapping[str, NDArray[Any]], scores: Scores
) -> tuple[dict[str, str], bytes]:
    """(HTTP headers, body) of the answer to `question`; `tensors` by output name, without batch axis."""
    head: dict[str, Any] = {
        "model_name": name,
        "model_version": version,
        "parameters": scores.model_dump(exclude_none=True, exclude={"confidences"}),  # parameters are no lists
    }
    if question.id is not None:
        head["id"] = question.id
    raws, head["outputs"] = [], []
    for output, binary in question.wanted.items():
        values = np.ascontiguousarray(tensors[output])
        said = {"name": output, "datatype": _DATATYPES[values.dtype.name], "shape": [1, *values.shape]}
        if binary:
            raws.append(values.tobytes())
            head["outputs"].append({**said, "parameters": {"binary_data_size": len(raws[-1])}})
        else:
            head["outputs"].append({**said, "data": values.ravel().tolist()})
    text = json.dumps(head, separators=(",", ":")).encode()
    if not raws:
        return {"Content-Type": "application/json"}, text
    return {"Content-Type": CONTENT_TYPE, HEADER_LENGTH: str(len(text))}, b"".join((text, *raws))


def _cut(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    if not (header_length.isascii() and header_length.isdigit()) or not 0 < int(header_length) <= len(body):
        raise InvalidInput(f"{HEADER_LENGTH} is {header_length!r}, the body has {len(body)} bytes")
    return body[: int(header_length)], body[int(header_length) :]


def _supported(part: _Part) -> None:
    for name in _UNSUPPORTED:
        if name in part.parameters:
            raise InvalidInput(f"{part.name}: parameter {name!r} is not supported")


def _wanted(request: _Request, known: Sequence[Output]) -> dict[str, bool]:
    """Output -> whether it comes as raw bytes; all outputs where none is asked for by name."""
    binary = request.parameters.get("binary_data_output") is True
    names = [output.name for output in known]
    wanted = {}
    for output in request.outputs or ():
        _supported(output)
        if output.name not in names:
            raise InvalidInput(f"there is no output {output.name!r}, only {', '.join(map(repr, names))}")
        wanted[output.name] = output.parameters.get("binary_data", binary) is True
    return wanted or dict.fromkeys(names, binary)


def _image(tensor: _Input, raw: bytes, max_pixels: int) -> NDArray[np.uint8]:
    if tensor.name != IMAGE["name"] or tensor.datatype != IMAGE["datatype"]:
        raise InvalidInput(f"the input is 'image' of UINT8, not {tensor.name!r} of {tensor.datatype}")
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape) < 1:
        raise InvalidInput(f"image: shape {shape} is not [1, height, width, 3]")
    if shape[1] * shape[2] > max_pixels:
        raise InvalidInput(f"image: {shape[1]}x{shape[2]} pixels, at most {max_pixels} are taken")
    flat = _from_json(tensor) if tensor.data is not None else _from_raw(tensor, raw)
    size = int(np.prod(shape))
    if flat.size != size:
        raise InvalidInput(f"image: shape {shape} needs {size} values, there are {flat.size}")
    return flat.reshape(shape[1:])


def _from_raw(tensor: _Input, raw: bytes) -> NDArray[np.uint8]:
    size = tensor.parameters.get("binary_data_size")
    if size != len(raw):
        raise InvalidInput(f"image: neither data nor binary_data_size ({size}) fits the {len(raw)} raw bytes sent")
    return np.frombuffer(raw, np.uint8)


def _from_json(tensor: _Input) -> NDArray[np.uint8]:
    try:
        values = np.asarray(tensor.data)
    except ValueError as error:
        raise InvalidInput("image: data is ragged") from error
    if values.dtype.kind not in "iu" or values.size == 0 or values.min() < 0 or values.max() > 255:
        raise InvalidInput("image: data must be whole numbers from 0 to 255")
    return values.astype(np.uint8).ravel()
