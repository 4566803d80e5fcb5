"""What `bench/zoo.py` measures on the public maps, fixed before any result, and what was cut for two cores."""

from __future__ import annotations

import msgspec

VARIANTS = tuple(f"vggm-spp{b}-after{a}" for b in ("2", "3", "4", "5", "5-small") for a in (1, 2))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run of ``offline.train`` on the composite's maps."""

    model: str
    protocol: str = "loso"
    seeds: int = 1
    changes: dict[str, float] = {}
    """Of the model's recipe."""
    weights: str = ""
    """Name of the file of weights that it starts from, to be found in ``--weights``."""
    freeze: float = 0.0
    cut: str = ""
    """What is not the paper's, because of the two cores."""

    @property
    def name(self) -> str:
        """Of its folder."""
        start = f"-{self.weights.partition('.')[0]}-{self.freeze:g}" if self.weights else ""
        return f"{self.model}{start}-{self.protocol.replace(':', '-')}"

    def words(self, data: str, weights: str, out: str) -> list[str]:
        """The command's options."""
        found = ["--dataset", "flowmaps", "--data", data, "--model", self.model, "--protocol", self.protocol]
        found += ["--seeds", str(self.seeds)]
        if self.changes:
            found += ["--set", *(f"{key}={value:g}" for key, value in self.changes.items())]
        if self.weights:
            found += ["--weights", f"{weights}/{self.weights}", "--freeze", f"{self.freeze:g}"]
        return [*found, "--out", out]


def _large(model: str, size: int, epochs: int = 10, folds: int = 3) -> Row:
    return Row(
        model=model,
        protocol=f"subject-folds:{folds}",
        changes={"size": size, "epochs": epochs},
        cut=f"pictures of {size}×{size}, {epochs} epochs",
    )


ROWS = (
    Row(model="laenet", seeds=5),
    Row(model="ststnet", seeds=5),
    Row(model="bi-woof"),
    Row(model="laenet", protocol="subject-folds:5", seeds=5),
    Row(model="laenet", protocol="subject-folds:3", seeds=5),
    Row(model="dual-inception", protocol="subject-folds:5"),
    Row(model="offapexnet", protocol="subject-folds:5"),
    _large("squeezenet", 96),
    _large("alexnet", 99),
    _large("vggm", 51, 20),
    _large("mobilenet-v2", 64),
    _large("googlenet", 64),
    Row(
        model="vgg16", protocol="subject-folds:3", weights="vgg16.ckpt", freeze=0.8,
        changes={"size": 64, "epochs": 10}, cut="pictures of 64×64, 10 epochs, 12 of 13 convolutions frozen",
    ),
    Row(
        model="alexnet-one-tower", protocol="subject-folds:3", weights="alexnet.ckpt", freeze=0.6,
        changes={"size": 99, "epochs": 10}, cut="pictures of 99×99, 10 epochs, 4 of 5 convolutions frozen",
    ),
    *(_large(variant, 51, 20) for variant in VARIANTS),
    _large("efficientnet-b0", 64),
    _large("resnet50", 64),
    _large("nmer", 64),
    _large("capsulenet", 56),
)  # fmt: skip
"""In the order in which they are measured."""
