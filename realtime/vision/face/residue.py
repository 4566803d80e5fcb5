"""What is left of the patches' displacements once the head's motion is known: loops of ``Anchor.update``.

In NumPy each line would be a call of its own, and the calls cost ten times what the sums do. Plain arithmetic, in the
order that NumPy had: fast arithmetic rounds by how small arrays lie in memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.vision.face.tracking import agree
from realtime.vision.jit import jit

Values = NDArray[np.float64]
Patches = NDArray[np.float32]


@jit(fastmath=False)
def begin(displacement: Patches, likeness: Patches, like: float, trust: Values, shape: Values, weights: Values) -> None:
    """For the fit of the head's motion: take what its own shape does out of the rigid patches, and weigh them.

    displacement: (n, 2) px, in place; likeness: (n,); trust, weights: (rigid,), the second filled: 0 where likeness is
    no more than ``like``; shape: (rigid, 2) px.
    """
    for i in range(len(trust)):
        weights[i] = trust[i] if likeness[i] > like else 0.0
        for k in range(2):
            displacement[i, k] -= shape[i, k]


@jit(fastmath=False)
def put_back(displacement: Patches, shape: Values) -> None:
    """What ``begin`` took out of the displacement (n, 2) px of the rigid patches. shape: (rigid, 2) px."""
    for i in range(len(shape)):
        for k in range(2):
            displacement[i, k] += shape[i, k]


@jit(fastmath=False)
def take_head_out(
    displacement: Patches, likeness: Patches, inverse: Patches, contrast: Values, region: NDArray[np.int64],
    regions: int, noise_grey: float, alien: float, slid: float, heights: Values, places: Values, pose: Values,
) -> None:  # fmt: skip
    """Let the regions' patches agree without what the head's turn does, then take the similarity out of all, in place.

    displacement: (n, 2) px; likeness: (n,); inverse: (n, 3); heights: (n,) px; places: (n, 2) px from the centre; pose:
    (6,) of ``fit_head``. contrast, region: (n − rigid,) and the numbers after them: see ``agree``.
    """
    count, rigid = len(places), len(places) - len(region)
    parallax = np.empty((count - rigid, 2), np.float32)
    for i in range(rigid, count):
        for k in range(2):
            parallax[i - rigid, k] = heights[i] * pose[4 + k]
            displacement[i, k] -= parallax[i - rigid, k]
    agree(displacement[rigid:], likeness[rigid:], inverse[rigid:], contrast, region, regions, noise_grey, alien, slid)
    for i in range(count):
        if i >= rigid:
            for k in range(2):
                displacement[i, k] += parallax[i - rigid, k]
        x, y = places[i, 0], places[i, 1]
        displacement[i, 0] -= pose[0] + pose[2] * x - pose[3] * y
        displacement[i, 1] -= pose[1] + pose[3] * x + pose[2] * y


@jit(fastmath=False)
def trust_in(likeness: Patches, weights: Values, alien: float, folded: float, steady: float, trust: Values) -> None:
    """Fills trust (2 n,), two channels a region patch, see ``Anchor.trust_channels``: the weight of a patch that looks
    like its template, half of it where 1 − likeness is ``folded``, 0 from ``alien`` down; times ``steady``.

    likeness: (n,) of the region patches; weights: (n,).
    """
    for i in range(len(weights)):
        value = 0.0
        if likeness[i] > alien:
            apart = (np.float32(1.0) - likeness[i]) / np.float32(folded)
            value = weights[i] / (np.float32(1.0) + apart * apart)
        trust[2 * i] = trust[2 * i + 1] = value * steady
