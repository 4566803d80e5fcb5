"""What a group of channels is: which ROI each belongs to, how far it is to be trusted."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Channels(msgspec.Struct, frozen=True):
    """C channels of R ROIs."""

    names: tuple[str, ...]
    """(R,) of the ROIs."""
    roi_of: NDArray[np.int64]
    """(C,) index into ``names``."""
    weights: Values
    """(C,) ≥ 0: trust in each channel."""
    signed: bool
    """Displacements count in every direction; of a difference (≥ 0) only the rise does."""
    member: Values
    """(R, C), 1 where a channel belongs to a ROI."""

    @classmethod
    def of_differences(cls, count: int, names: tuple[str, ...] = ()) -> Channels:
        """Each channel is a ROI of its own."""
        names = names or tuple(str(k) for k in range(count))
        return cls(names, np.arange(count), np.ones(count), False, np.eye(count))

    @classmethod
    def of_patches(cls, names: tuple[str, ...], roi_of: NDArray[np.int64], weights: Values) -> Channels:
        """Two channels (x, y) a patch. roi_of, weights: (patches,)."""
        both = np.repeat(roi_of, 2)
        member = (both[None] == np.arange(len(names))[:, None]).astype(np.float64)
        return cls(names, both, np.repeat(weights, 2), True, member)

    def weighted(self, weights: Values) -> Channels:
        """The same channels, trusted otherwise. weights: (C,)."""
        return msgspec.structs.replace(self, weights=weights)

    def size(self, off: Values, trust: Values) -> Values:
        """(R,) how far each ROI is off: weighted root mean square, px; of differences the value itself."""
        if not self.signed:
            return off
        # two channels make one patch: the length of a displacement, not of its components
        return np.sqrt(2.0 * (self.member @ (trust * off * off)) / np.maximum(self.member @ trust, 1e-9))

    def moved(self, off: Values, trust: Values) -> dict[str, tuple[float, float]]:
        """(right, down) of each ROI that has trusted channels: the weighted mean, px; of differences nothing."""
        if not self.signed:
            return {}
        total = self.member @ trust
        x, y = self.member[:, ::2] @ (trust * off)[::2], self.member[:, 1::2] @ (trust * off)[1::2]
        return {
            name: (round(float(2.0 * x[k] / total[k]), 4), round(float(2.0 * y[k] / total[k]), 4))
            for k, name in enumerate(self.names)
            if total[k] > 0
        }
