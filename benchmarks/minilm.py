"""What one would do without PocketRec: all-MiniLM-L6-v2 as an int8 graph on the device, and sums of cosines."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from export.graphs import Graph, export_graph, quantize_int8
from pocketrec.encoders import PADDING, TextEncoder
from pocketrec.engine import OnnxEngine
from pocketrec.quantize import dequantize_rows, quantize_rows
from pocketrec.ranker import top_k
from pocketrec.run import Report, Run
from pocketrec.splits import Indices
from teacher.pretrained import MINILM, load_backbone

NAME = "MiniLM int8, on device"
GRAPH = Graph("minilm.onnx", "tokens", "vector", ("B", "T"))
TOKENIZER, VECTORS, SCALES = "tokenizer.json", "vectors.npy", "scales.npy"
FOLDER = "peers/minilm"
"""Of a run."""
MAX_TOKENS = 96
"""As the teacher reads."""

Float32 = npt.NDArray[np.float32]


class Pooled(nn.Module):
    """Token ids int64 [B, T], 0 as padding, to unit means of the last hidden states; float32 [B, 384]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens != PADDING).long()
        states = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return functional.normalize((states * mask.unsqueeze(-1).float()).sum(dim=1), dim=-1)


@dataclass(frozen=True)
class Pieces:
    """The model's own tokenizer as a `TextEncoder` calls it."""

    tokenizer: Tokenizer

    def encode(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text).ids
        return found


def kept(run: Run, report: Report) -> tuple[Path, Float32]:
    """The folder of what ``write`` writes, reused where the run has it from before, and the item vectors.

    Returns:
        The vectors as a device would read them, float32 [N, 384], of rows that are kept as int8.
    """

    def make(folder: Path) -> dict[str, Any]:
        write(folder, run.dataset.texts)
        return {"summary": f"{len(run.dataset.texts):,} texts read"}

    run.artefact(FOLDER, {"max_tokens": MAX_TOKENS}, make, report)
    folder = run.folder / FOLDER
    return folder, item_vectors(folder)


def item_vectors(folder: Path) -> Float32:
    """What ``write`` wrote of them, unit rows; float32 [N, 384]."""
    return dequantize_rows(np.load(folder / VECTORS), np.load(folder / SCALES))


def write(folder: Path, texts: Sequence[str]) -> None:
    """Write what a device would need into ``folder``.

    Raises:
        RunError: the distribution that carries the model is not installed.
    """
    backbone = load_backbone(MINILM)
    with tempfile.TemporaryDirectory() as scratch:
        model = backbone.model.float()  # it may be held in bfloat16, which onnxruntime does not run
        example = torch.tensor([[101, 2000, 102], [101, 102, PADDING]])
        export_graph(Pooled(model), example, GRAPH, Path(scratch))
        quantize_int8(Path(scratch), folder, GRAPH)
    backbone.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    levels, scales = quantize_rows(encoder(folder, os.cpu_count() or 1).encode(texts))
    np.save(folder / VECTORS, levels)
    np.save(folder / SCALES, scales)


def encoder(folder: Path, threads: int = 1) -> TextEncoder:
    """The text encoder that ``write`` wrote."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return TextEncoder(OnnxEngine(folder / GRAPH.file, threads), Pieces(tokenizer))


def recommend(
    vectors: Float32, sharpness: float, decay: float, k: int
) -> Callable[[Indices], Indices]:
    """The best ``k`` of unit ``vectors`` [N, d] for a history of item indices, oldest first (`teacher.content`)."""

    def best(history: Indices) -> Indices:
        shares = (decay ** np.arange(len(history) - 1, -1, -1)).astype(np.float32)
        if sharpness:
            cosines = vectors @ vectors[history].T
            scores = np.expm1(np.float32(sharpness) * cosines) @ shares
        else:
            scores = vectors @ (shares @ vectors[history])
        return top_k(scores, k, history)

    return best
