"""The ONNX operators that exported graphs use, as numpy functions: https://onnx.ai/onnx/operators/.

Each takes its inputs by place, None for an optional one left out, and its attributes by name. What is not for it, or
what exported graphs do not use of it, raises one of numpy's or Python's own errors.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec.engine import Array
from pocketrec.onnx_file import element_type

OPSETS = (17, 18)
"""The versions of the operator set that the functions follow."""

LARGEST = 2**24
"""Most numbers in one result: a damaged graph must not ask for all the memory there is."""


def _bounded(*sizes: int) -> None:
    # As floats: a damaged shape can have so many sizes that their exact product takes minutes.
    if (size := math.prod(map(float, sizes))) > LARGEST:
        raise MemoryError(f"a result of {size:.0f} numbers where {LARGEST} are allowed")


def _same_type(*operands: Array) -> None:
    if any(operand.dtype != operands[0].dtype for operand in operands):
        raise TypeError(f"operands of types {', '.join(str(o.dtype) for o in operands)}")


def _elementwise(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """The operator of two broadcast operands of one type."""

    def run(a: Array, b: Array, /) -> Array:
        _same_type(a, b)
        _bounded(np.broadcast(a, b).size)
        return function(a, b)

    return run


_add = _elementwise(np.add)
_subtract = _elementwise(np.subtract)
_multiply = _elementwise(np.multiply)
_minimum = _elementwise(np.minimum)
_maximum = _elementwise(np.maximum)


@_elementwise
def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        raise TypeError(f"division of {a.dtype}")
    quotient: Array = a / b
    return quotient


def _max(*operands: Array) -> Array:
    return reduce(_maximum, operands)


def _clip(x: Array, low: Array | None = None, high: Array | None = None, /) -> Array:
    if low is not None:
        x = _maximum(x, low.reshape(()))
    if high is not None:
        x = _minimum(x, high.reshape(()))
    return x


def erf(x: Array, /) -> Array:
    """The error function within 2e-7; floats of any shape to the same.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
    """
    size = np.abs(x.astype(np.float64))
    t = 1 / (1 + 0.3275911 * size)
    rest = 1.061405429 * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        rest = (rest + coefficient) * t
    values: Array = np.copysign(1 - rest * np.exp(-size * size), x)
    return values.astype(x.dtype)


def _softmax(x: Array, /, *, axis: int = -1) -> Array:
    powers: Array = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return _divide(powers, powers.sum(axis, keepdims=True))


def _layer_normalization(
    x: Array,
    scale: Array,
    bias: Array | None = None,
    /,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Array:
    axes = tuple(range(range(x.ndim)[axis], x.ndim))
    count = math.prod(x.shape[place] for place in axes)
    centred = x - x.sum(axes, keepdims=True) / count
    variance = (centred * centred).sum(axes, keepdims=True) / count
    scaled = _multiply(centred / np.sqrt(variance + epsilon), scale)
    return scaled if bias is None else _add(scaled, bias)


def _reduction(function: Callable[..., Array]) -> Callable[..., Array]:
    """The operator that reduces over ``axes``, an attribute or, in later versions, an input; all of them by default."""

    def run(
        x: Array, given: Array | None = None, /, *, axes: Any = None, keepdims: int = 1
    ) -> Array:
        places = axes if given is None else given.tolist()
        return function(x, tuple(places) if places else None, keepdims=bool(keepdims))

    return run


def _sum(x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
    total: Array = np.sum(x, axes, dtype=x.dtype, keepdims=keepdims)
    return total


def _l2(x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
    length: Array = np.sqrt(_sum(x * x, axes, keepdims))
    return length


def _matmul(a: Array, b: Array, /) -> Array:
    _same_type(a, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    _bounded(*batch, *a.shape[-2:-1], *b.shape[-1:])
    product: Array = np.matmul(a, b)
    return product


def _gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    /,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - the attribute's name
    transB: int = 0,  # noqa: N803
) -> Array:
    product = alpha * _matmul(a.T if transA else a, b.T if transB else b)
    return product if c is None else _add(product, beta * c)


def _dynamic_quantize(x: Array, /) -> tuple[Array, ...]:
    """uint8 with a scale and a zero point, from the range of ``x`` widened to hold 0."""
    low, high = x.min(initial=0), x.max(initial=0)
    scale = (high - low) / 255
    if scale == 0:
        scale = np.ones_like(scale)  # the specification divides by 0; onnxruntime takes 1
    zero = np.clip(np.rint(-low / scale), 0, 255)  # rint rounds halves to even
    quantized = np.clip(np.rint(x / scale) + zero, 0, 255)
    return quantized.astype(np.uint8), scale, zero.astype(np.uint8)


def _matmul_integer(
    a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None, /
) -> Array:
    """Product of 8-bit integers; a zero point for all of ``a``, and one for all of ``b`` or for each column."""
    # In floats, for which numpy calls BLAS. A difference to the zero point is at most 255, so no sum leaves the
    # integers that the type holds: exact, in whatever order it adds.
    exact: npt.DTypeLike = np.float32 if a.shape[-1] * 255**2 <= 2**24 else np.float64
    left = _from_zero(a, None if a_zero is None else a_zero.reshape(()), exact)
    return _matmul(left, _from_zero(b, b_zero, exact)).astype(np.int32)


def _dequantize(x: Array, scale: Array, zero: Array | None = None, /, *, axis: int = 1) -> Array:
    """With one scale and zero point for all of ``x``; ``axis`` is for several."""
    zero = None if zero is None else zero.reshape(())
    return _multiply(_from_zero(x, zero, np.float32), scale.reshape(()))


def _from_zero(x: Array, zero: Array | None, dtype: npt.DTypeLike) -> Array:
    if x.dtype.itemsize > 1:
        raise TypeError(f"{x.dtype} instead of 8-bit integers")
    if zero is None:
        return x.astype(dtype)
    _same_type(x, zero)
    return _subtract(x.astype(dtype), zero.astype(dtype))


def _shape(x: Array, /, *, start: int = 0, end: int | None = None) -> Array:
    return np.array(x.shape[start:end], dtype=np.int64)


def _reshape(x: Array, shape: Array, /, *, allowzero: int = 0) -> Array:
    """A size of -1 follows from the others, one of 0 is that of ``x`` unless ``allowzero``."""
    return x.reshape(
        [
            x.shape[place] if size == 0 and not allowzero else size
            for place, size in enumerate(shape.tolist())
        ]
    )


def _transpose(x: Array, /, *, perm: tuple[int, ...] | None = None) -> Array:
    return np.transpose(x, perm)


def _unsqueeze(x: Array, axes: Array, /) -> Array:
    return np.expand_dims(x, tuple(axes.tolist()))


def _squeeze(x: Array, axes: Array | None = None, /) -> Array:
    return np.squeeze(x, None if axes is None else tuple(axes.tolist()))


def _slice(
    x: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
    /,
) -> Array:
    bounds = [starts.tolist(), ends.tolist()]
    bounds.append([1] * len(bounds[0]) if steps is None else steps.tolist())
    parts = [slice(None)] * x.ndim
    places = range(len(bounds[0])) if axes is None else axes.tolist()
    for place, *bound in zip(places, *bounds, strict=True):
        parts[place] = slice(*bound)
    return x[tuple(parts)]


def _split(x: Array, sizes: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    *ends, total = np.cumsum(sizes).tolist()
    if total != x.shape[axis] or min(sizes.tolist()) < 0:
        raise ValueError(f"parts of {sizes.tolist()} where there are {x.shape[axis]}")
    return tuple(np.split(x, ends, axis))


def _concat(*parts: Array, axis: int) -> Array:
    _same_type(*parts)
    _bounded(sum(part.size for part in parts))
    return np.concatenate(parts, axis)


def _gather(x: Array, indices: Array, /, *, axis: int = 0) -> Array:
    _bounded(x.size // max(x.shape[axis], 1) * indices.size)
    return np.take(x, indices, axis)


def _pad(x: Array, pads: Array, value: Array | None = None, /, *, mode: str = "constant") -> Array:
    if mode != "constant":
        raise ValueError(f"mode {mode!r}")
    widths = list(zip(*pads.reshape(2, x.ndim).tolist(), strict=True))
    _bounded(*(sum(width) + size for width, size in zip(widths, x.shape, strict=True)))
    return np.pad(x, widths, constant_values=0 if value is None else value.item())


def _constant_of_shape(shape: Array, /, *, value: Array | None = None) -> Array:
    value = np.zeros(1, np.float32) if value is None else value
    _bounded(*shape.tolist())
    return np.full(shape.tolist(), value.item(), value.dtype)


def _range(start: Array, limit: Array, step: Array, /) -> Array:
    _same_type(start, limit, step)
    count = max(math.ceil((limit.item() - start.item()) / step.item()), 0)
    _bounded(count)
    return _add(start, _multiply(np.arange(count, dtype=start.dtype), step))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": _add,
    "Cast": lambda x, /, *, to: x.astype(element_type(to)),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": lambda *, value: value,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Div": _divide,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Equal": _elementwise(np.equal),
    "Erf": erf,
    "Exp": lambda x, /: np.exp(x),
    "Floor": lambda x, /: np.floor(x),
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": lambda x, /: x,
    "LayerNormalization": _layer_normalization,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "Max": _max,
    "Mul": _multiply,
    "Not": lambda x, /: np.logical_not(x),
    "Pad": _pad,
    "Pow": _elementwise(np.power),
    "Range": _range,
    "ReduceL2": _reduction(_l2),
    "ReduceMax": _reduction(np.max),
    "ReduceSum": _reduction(_sum),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _subtract,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The operators by name."""
