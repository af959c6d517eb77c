"""The student's two networks as ONNX graphs, in full precision and as int8."""

import copy
import logging
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig
from torch import Tensor, nn
from torch.nn import functional

from distill.checkpoint import Student
from distill.student import SequenceEncoder
from export.recipe import Target
from pocketrec.bundle import LAYOUT

OPSET = 17
MINIMUM_RUNTIME = "1.12"
"""The first onnxruntime that runs opset 17."""


@dataclass(frozen=True)
class Graph:
    """A graph of the bundle: file name, input, output, and the names of the input's dimensions."""

    file: str
    input: str
    output: str
    axes: tuple[str, ...]


TEXT = Graph(LAYOUT.text_encoder, "tokens", "vector", ("B", "T"))
SEQUENCE = Graph(LAYOUT.sequence_encoder, "items", "user", ("B", "L"))


class LastState(nn.Module):
    """The user vector after the whole history: all that the device needs; float32 [B, L, d] -> [B, d]."""

    def __init__(self, encoder: SequenceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, items: Tensor) -> Tensor:
        last: Tensor = self.encoder(items, last=True)[:, -1]
        return last


class FourBitRows(nn.Module):
    """An embedding of 4-bit levels, two to a byte, with one scale a row; standard operators unpack it in any runtime."""

    packed: Tensor
    scales: Tensor

    def __init__(self, weights: Tensor) -> None:
        """Quantize float32 [V, d], d even."""
        super().__init__()
        scales = (weights.abs().amax(dim=1, keepdim=True) / 7).clamp(min=1e-12)
        levels = (weights / scales).round().to(torch.int64) + 8
        first, second = levels.chunk(2, dim=1)
        self.register_buffer("packed", (first + 16 * second).to(torch.uint8))
        self.register_buffer("scales", scales)

    def forward(self, rows: Tensor) -> Tensor:
        """int64 [...] -> float32 [..., d]."""
        pairs = functional.embedding(rows, self.packed).float()
        second = (pairs / 16).floor()
        levels = torch.cat([pairs - 16 * second, second], dim=-1) - 8
        return levels * functional.embedding(rows, self.scales)


def export_fp32(student: Student, folder: Path) -> None:
    """Write both graphs into ``folder``, batch and length dynamic."""
    d = student.recipe.dimensions
    _export_text(student.text, folder)
    export_graph(LastState(student.sequence), torch.randn(2, 3, d), SEQUENCE, folder)


def _export_text(module: nn.Module, folder: Path) -> None:
    export_graph(module, torch.ones((2, 5), dtype=torch.int64), TEXT, folder)


def export_graph(module: nn.Module, example: Tensor, graph: Graph, folder: Path) -> None:
    """Write ``module`` with its one input into ``folder``, sizes dynamic as ``graph`` names them."""
    dynamic = {graph.input: dict(enumerate(graph.axes)), graph.output: {0: graph.axes[0]}}
    with warnings.catch_warnings():
        # The tracer warns of Python ints and of its own deprecation; the parity gate checks what it wrote.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            str(folder / graph.file),
            input_names=[graph.input],
            output_names=[graph.output],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )


def quantize_int8(source: Path, target: Path, graph: Graph, processor: Target = "avx2") -> None:
    """Dynamic int8: weights per output channel, activations at run time, embedding rows as 8-bit tables.

    Products without weights, those of attention, stay in full precision: there is nothing to make smaller, and to quantize
    both sides of so small a product takes longer than the product.

    ``source`` and ``target`` are folders that hold the graph under its file name.
    """
    stored = onnx.load(source / graph.file).graph
    weights = {tensor.name for tensor in stored.initializer}
    unweighted = [
        node.name
        for node in stored.node
        if node.op_type == "MatMul" and not weights.intersection(node.input)
    ]
    settings = getattr(AutoQuantizationConfig, processor)(
        is_static=False, per_channel=True, nodes_to_exclude=unweighted
    )
    # It warns of activations that it leaves as they are; the gate judges the result.
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            # The quantizer names its output itself and writes a settings file beside it.
            quantizer = ORTQuantizer.from_pretrained(source, file_name=graph.file)
            quantizer.quantize(save_dir=scratch, quantization_config=settings, file_suffix="int8")
            written = next(Path(scratch).glob("*int8.onnx"))
            shutil.copyfile(written, target / graph.file)
    finally:
        logging.disable(logging.NOTSET)


def quantize_text_int4(student: Student, target: Path, processor: Target = "avx2") -> None:
    """Write the text graph to the folder ``target``: word pieces in four bits, the rest as in ``quantize_int8``."""
    text = copy.deepcopy(student.text)
    text.embedding = FourBitRows(student.text.embedding.weight.detach())  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as scratch:
        _export_text(text, Path(scratch))
        quantize_int8(Path(scratch), target, TEXT, processor)
