"""Whether some place has changed in a phase that otherwise looks like the first: strict, and quick to doubt.

A lesion may enhance before the rest of the body does. Were that phase taken as the one before contrast, the lesion
would be subtracted from itself. So this test prefers false alarms, such as motion: they only cost the choice of an
earlier phase, which cannot hide a lesion.

What drawn studies show (10 bodies of examples/phantom with lesions of 3 to 10 mm radius, both breasts and crops of
one), the place that changes most, as a share of the body's median and in standard deviations of the noise:

=============================================================  ==============  ============  ========
second phase                                                   of the median   of the noise  in doubt
=============================================================  ==============  ============  ========
like the first, with noise of 3 .. 8 % or 6 % more gain         0.01 .. 0.06    3.9 .. 6.1    none
lesion at 30 % of its enhancement, the body at 0 .. 30 %        0.09 .. 0.58    7.7 .. 154    all
lesion at 60 .. 100 %                                           0.18 .. 1.92    14 .. 511     all
moved by a quarter of a voxel .. 2 voxels                       0.06 .. 1.25    7.1 .. 112    all
gain drifting by 5 % across the field                           0.04 .. 0.13    7.9 .. 20     73 %
=============================================================  ==============  ============  ========
"""

import numpy as np

from fcdd_runtime.volumes.body_mask import body_mask
from fcdd_runtime.volumes.cells import Mask, smoothed, whole_cells
from fcdd_runtime.volumes.volume import FloatArray, Volume

FAINT, BRIGHT = 0.05, 0.1
"""Shares of the body's median: what changes by less is no sign of contrast, what changes by more may be."""
NOISE_FACTOR = 5.5
"""Between the two, what changes by this often the noise's standard deviation."""
NOISE_LAG = 3
"""So many cells apart, smoothed noise is independent."""


def differs_in_places(first: Volume, second: Volume) -> bool:
    """Whether any place of the body is brighter or darker in the second of two phases on one grid, a gain apart."""
    before, after = whole_cells(first), whole_cells(second)
    body = body_mask((before + after) / 2)
    level = float(np.median(before[body])) if body.any() else 0.0
    if level <= 0:
        return False
    gain = float(np.median(after[body] / np.maximum(before[body], level / 20)))
    rise = smoothed(after / max(gain, 1e-3) - before) / level
    limit = np.clip(NOISE_FACTOR * _noise(rise, body), FAINT, BRIGHT)
    return bool((np.abs(rise[body]) > limit).any())


def _noise(rise: FloatArray, body: Mask) -> float:
    """Standard deviation from the median of differences: neither drift of the field nor a lesion changes it."""
    both = body[:, :, NOISE_LAG:] & body[:, :, :-NOISE_LAG]
    difference = np.abs(rise[:, :, NOISE_LAG:] - rise[:, :, :-NOISE_LAG])[both]
    return float(np.median(difference)) * 1.4826 / 2**0.5 if difference.size else 0.0
