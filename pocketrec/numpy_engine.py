"""Running the graphs of a bundle with numpy alone, where there is no onnxruntime."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten

import numpy as np

from pocketrec.engine import Array
from pocketrec.errors import BundleError
from pocketrec.numpy_operators import OPERATORS, OPSETS
from pocketrec.onnx_file import Node, read_graph


class NumpyEngine:
    """An `Engine` of numpy alone; calls from several threads are safe.

    What depends on no input is computed once, when the graph is loaded.

    Raises:
        BundleError: there is no such file, it is no ONNX graph, or one with an operator, a data type or an opset that
            exported graphs do not have.
    """

    def __init__(self, path: str | Path) -> None:
        graph = read_graph(path)
        self.name = str(path)
        self.inputs = tuple(declared.name for declared in graph.inputs)
        self.outputs = graph.outputs
        if graph.opset not in OPSETS:
            raise BundleError(
                f"{path}: expected operators of opset {OPSETS[0]} to {OPSETS[-1]}, found {graph.opset}"
            )
        self._declared = graph.inputs
        self._constants = dict(graph.initializers)
        self._nodes = []
        known = {*self._constants, *self.inputs}
        for node in graph.nodes:
            self._check_node(node, known)
            known.update(node.outputs)
            if all(name in self._constants for name in node.inputs if name):
                self._evaluate([node], self._constants)
            else:
                self._nodes.append(node)
        if not known.issuperset(self.outputs):
            raise BundleError(f"{path}: expected nodes that give {list(self.outputs)}, found none")

    def run(self, inputs: dict[str, Array]) -> Array:
        self._check_inputs(inputs)
        values = {**self._constants, **inputs}
        self._evaluate(self._nodes, values)
        return np.array(values[self.outputs[0]])

    def _check_node(self, node: Node, known: set[str]) -> None:
        if node.operator not in OPERATORS:
            raise BundleError(
                f"{self.name}: expected operators that exported graphs use, "
                f"found {node.operator[:60]!r}"
            )
        if unknown := sorted(set(node.inputs) - known - {""}):
            raise BundleError(
                f"{self.name}: {node.operator}: expected inputs that earlier nodes give, "
                f"found {unknown[0][:60]!r}"
            )
        if twice := sorted(known.intersection(node.outputs)):
            raise BundleError(
                f"{self.name}: {node.operator}: expected outputs with names of their own, "
                f"found {twice[0][:60]!r} again"
            )

    def _check_inputs(self, inputs: dict[str, Array]) -> None:
        if set(inputs) != set(self.inputs):
            raise BundleError(
                f"{self.name}: expected inputs {list(self.inputs)}, found {list(inputs)}"
            )
        for declared in self._declared:
            value, shape = inputs[declared.name], declared.shape
            fits = shape is None or (
                len(shape) == value.ndim
                and all(
                    isinstance(s, str) or s == n for s, n in zip(shape, value.shape, strict=True)
                )
            )
            if value.dtype != declared.dtype or not fits:
                sizes = "of any rank" if shape is None else list(shape)
                raise BundleError(
                    f"{self.name}: input {declared.name!r}: expected {declared.dtype} {sizes}, "
                    f"found {value.dtype} {list(value.shape)}"
                )

    def _evaluate(self, nodes: Iterable[Node], values: dict[str, Array]) -> None:
        """Add what ``nodes`` give to ``values``."""
        # A vector that is not finite is for the caller to find, as with any engine.
        with np.errstate(all="ignore"):
            for node in nodes:
                read = [values[name] if name else None for name in node.inputs]
                try:
                    given = OPERATORS[node.operator](*read, **node.attributes)
                    if not isinstance(given, tuple):
                        given = (given,)
                    values.update(zip(node.outputs, given, strict=True))
                # Whatever an operator makes of operands, attributes or sizes that are not for it.
                except (
                    ArithmeticError,
                    AttributeError,
                    LookupError,
                    MemoryError,
                    TypeError,
                    ValueError,
                ) as error:
                    raise BundleError(
                        f"{self.name}: cannot run {node.operator}: {shorten(str(error), 200)}"
                    ) from error
