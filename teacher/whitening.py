"""Half-whitened PCA: from hidden states, where few directions drown the rest, to vectors whose cosine means something."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.linalg import block_diag

from pocketrec.errors import RunError
from pocketrec.files import atomic_write

Floats = npt.NDArray[np.float32]

HALF = 0.25
FULL = 0.5
# Below this share of the largest eigenvalue, or below the rounding of float32 vectors, a direction is
# noise, and scaling would blow it up.
_NOISE = 1e-10
_ROUNDING = 1e-7
_BLOCK = 8192


@dataclass(frozen=True)
class Whitening:
    """A centring and a projection, fitted once on a catalogue.

    Attributes:
        mean: float32 [h].
        matrix: float32 [h, d], columns in falling order of eigenvalue; zero columns where the data has fewer
            directions than d.
        spread: root mean square norm of the projections before they are made unit rows; 1 where not known.
    """

    mean: Floats
    matrix: Floats
    spread: float = 1.0

    def apply(self, vectors: npt.ArrayLike) -> Floats:
        """Project ``vectors`` [n, h] to unit rows, float32 [n, d]; a vector equal to the mean gives zeros."""
        return unit_rows((np.asarray(vectors, dtype=np.float32) - self.mean) @ self.matrix)

    @property
    def basis(self) -> Floats:
        """The directions of the columns in the language model's own space, without their scale; float32 [h, d].

        ``apply(x) @ basis.T`` are the whitened vectors in that space: there the vectors of two catalogues, each
        whitened by its own statistics, mean the same.
        """
        norms = np.linalg.norm(self.matrix, axis=0)
        return np.divide(self.matrix, norms, out=np.zeros_like(self.matrix), where=norms > 0)

    def save(self, path: Path) -> None:
        with atomic_write(path) as temporary:
            save_file({"mean": self.mean, "matrix": self.matrix}, temporary)

    @classmethod
    def load(cls, path: Path) -> "Whitening":
        """Read what ``save`` wrote.

        Raises:
            RunError: the file is missing or is not a whitening.
        """
        try:
            tensors = load_file(path)
            return cls(mean=tensors["mean"], matrix=tensors["matrix"])
        except (OSError, SafetensorError, KeyError) as error:
            raise RunError(
                f"{path}: expected a saved whitening, found: {error}; fit it again"
            ) from error


def fit_readings(
    vectors: npt.ArrayLike, readings: int, dimensions: int = 256, power: float = HALF
) -> Whitening:
    """One whitening of vectors [N, readings * h] that hold several readings of each text side by side.

    Each reading is whitened by itself (``fit_whitening``) to ``dimensions`` columns, and all weigh the same, so the
    cosine of two results is about the mean of the readings' cosines.

    Raises:
        RunError: as ``fit_whitening``.
    """
    fitted = [
        fit_whitening(part, dimensions, power)
        for part in np.split(np.asarray(vectors), readings, axis=1)
    ]
    if readings == 1:
        return fitted[0]
    matrix = block_diag(*(one.matrix / max(one.spread, _ROUNDING) for one in fitted))
    return Whitening(np.concatenate([one.mean for one in fitted]), matrix.astype(np.float32))


def first_reading(vectors: Floats, dimensions: int) -> Floats:
    """The first of the readings in vectors [N, readings * dimensions], as unit rows; float32 [N, dimensions]."""
    if vectors.shape[1] == dimensions:
        return vectors
    return unit_rows(vectors[:, :dimensions])


def unit_rows(rows: Floats) -> Floats:
    """``rows`` [N, d], each of length one; zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def fit_whitening(
    vectors: npt.ArrayLike, dimensions: int = 256, power: float = HALF, sample: int = 50_000
) -> Whitening:
    """Fit a PCA whose components are scaled by ``eigenvalue ** -power`` of the covariance.

    ``power`` 0 is plain PCA, 0.25 halves every variance in the exponent (half whitening: the strong directions keep
    some of their weight), 0.5 makes all variances equal (full whitening, Su et al. 2021, arXiv:2103.15316).
    Signs are fixed (the largest entry of each direction is positive), so equal data gives equal vectors.

    Args:
        vectors: [N, h], any float type, N >= 1.
        dimensions: width d of the result, whatever N and h are.
        sample: at most this many rows, evenly spaced, are used for the fit.

    Raises:
        RunError: no vector, or one that is not finite.
    """
    rows = np.asarray(vectors)
    if rows.ndim != 2 or not len(rows):
        raise RunError(
            f"item vectors: expected an array [N, h] with N >= 1, found shape {rows.shape}"
        )
    if len(rows) > sample:
        rows = rows[np.linspace(0, len(rows) - 1, sample).astype(np.int64)]
    if bad := int((~np.isfinite(rows)).any(1).sum()):
        raise RunError(
            f"item vectors: expected finite numbers, found {bad} rows with NaN or infinity; encode again"
        )
    mean, covariance = _moments(rows)
    values, directions = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][: min(dimensions, len(rows) - 1)]
    values, directions = values[order], directions[:, order]
    floor = max(_NOISE * values.max(initial=0), (_ROUNDING * np.abs(mean).max()) ** 2)
    kept = values > floor
    values, directions = values[kept], directions[:, kept]
    peaks = directions[np.abs(directions).argmax(0), np.arange(len(values))]
    matrix = np.zeros((rows.shape[1], dimensions), dtype=np.float32)
    matrix[:, : len(values)] = directions * np.sign(peaks) * values**-power
    spread = float(np.sqrt((values ** (1 - 2 * power)).sum()))
    return Whitening(mean=mean.astype(np.float32), matrix=matrix, spread=spread)


def _moments(
    rows: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean [h] and covariance [h, h] in double precision, block by block."""
    mean = rows.mean(0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK] - mean
        covariance += block.T @ block
    return mean, covariance / len(rows)
