"""Symmetric int8 rows: the form in which item vectors and neighbour weights are shipped."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]

LEVELS = 127


def quantize_rows(x: Float32) -> tuple[Int8, Float32]:
    """Quantize each row by its own largest magnitude.

    Args:
        x: float32 [N, d], finite.

    Returns:
        int8 [N, d] in -127..127 and float32 [N] scales; ``int8 * scale`` is within scale / 2 of ``x``. A row of
        zeros has scale 0.

    Raises:
        ValueError: ``x`` is not finite.
    """
    scales = (np.abs(x).max(axis=1, initial=0.0) / LEVELS).astype(np.float32)
    return quantize(x, scales[:, None]), scales


def quantize(x: Float32, scales: Float32) -> Int8:
    """The nearest levels of ``x`` at ``scales``, which broadcast to its shape; 0 where the scale is 0.

    Raises:
        ValueError: ``x`` is not finite.
    """
    if not np.isfinite(x).all():
        raise ValueError("quantize: expected finite values, found NaN or infinity")
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(x / divisors).clip(-LEVELS, LEVELS).astype(np.int8)


def dequantize_rows(levels: Int8, scales: Float32) -> Float32:
    """The rows that int8 [N, d] ``levels`` and float32 [N] ``scales`` stand for; float32 [N, d]."""
    return levels * scales[:, None]
