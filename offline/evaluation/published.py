"""Published rows as the papers print them: UF1/UAR on the MEGC 2019 composite, and rows of accuracies alone."""

from __future__ import annotations

import msgspec


class Published(msgspec.Struct, frozen=True):
    """One method's row; (UF1, UAR) pairs, None where the paper gives none."""

    method: str
    year: int
    full: tuple[float, float]
    smic: tuple[float, float] | None = None
    casme2: tuple[float, float] | None = None
    samm: tuple[float, float] | None = None
    leaky: bool = False
    """The best epoch was kept on the held-out subject."""
    note: str = ""


ROWS = (
    Published("LBP-TOP", 2019, (0.5882, 0.5785), (0.2000, 0.5280), (0.7026, 0.7429), (0.3954, 0.4102)),
    Published("Bi-WOOF", 2018, (0.6296, 0.6227), (0.5727, 0.5829), (0.7805, 0.8026), (0.5211, 0.5139)),
    Published("OFF-ApexNet", 2019, (0.7196, 0.7096), (0.6817, 0.6695), (0.8764, 0.8681), (0.5409, 0.5392)),
    Published("AlexNet", 2012, (0.6933, 0.7154), (0.6201, 0.6373), (0.7994, 0.8312), (0.6104, 0.6642)),
    Published("SqueezeNet", 2016, (0.5930, 0.6166), (0.5381, 0.5603), (0.6894, 0.7278), (0.5039, 0.5362)),
    Published("GoogLeNet", 2015, (0.5573, 0.6049), (0.5123, 0.5511), (0.5989, 0.6414), (0.5124, 0.5992)),
    Published("VGG16", 2014, (0.6425, 0.6516), (0.5800, 0.5964), (0.8166, 0.8202), (0.4870, 0.4793)),
    Published("CapsuleNet", 2019, (0.6520, 0.6506), (0.5820, 0.5877), (0.7068, 0.7018), (0.6209, 0.5989)),
    Published("Dual-Inception", 2019, (0.7322, 0.7278), (0.6645, 0.6726), (0.8621, 0.8560), (0.5868, 0.5663)),
    Published(
        "NMER (part-based, adversarial, EMR)",
        2019,
        (0.7885, 0.7824),
        (0.7461, 0.7530),
        (0.8293, 0.8209),
        (0.7754, 0.7152),
        leaky=True,
    ),
    Published(
        "STSTNet",
        2019,
        (0.7353, 0.7605),
        (0.6801, 0.7013),
        (0.8382, 0.8686),
        (0.6588, 0.6810),
        note="its UAR is macro precision in all four columns",
    ),
    Published(
        "LAENet",
        2020,
        (0.7568, 0.7405),
        (0.6620, 0.6523),
        (0.9101, 0.9119),
        (0.6814, 0.6620),
        note="pre-trained on CK+",
    ),
    Published("HTNet", 2024, (0.8603, 0.8475), (0.8049, 0.7905), (0.9532, 0.9516), (0.8131, 0.8124), leaky=True),
    Published("CausalNet", 2025, (0.8976, 0.9020), (0.8390, 0.8452), (0.9811, 0.9858), (0.8780, 0.8582), leaky=True),
)
BY_METHOD = {row.method: row for row in ROWS}
LEAKY_NOTE = "published with the best epoch kept on each held-out subject: not comparable with an honest figure"


class Accuracy(msgspec.Struct, frozen=True):
    """A row of a paper that gives accuracies, %."""

    method: str
    figures: dict[str, float]
    """Of the data sets together ("full") and apart; or by share of frozen layers."""
    source: str
    leaky: bool = False
    """Frames of one clip stand on both sides."""

    @property
    def text(self) -> str:
        """For lists: the first figure, and what it is of."""
        name, value = next(iter(self.figures.items()))
        return (
            f"accuracy {value:.2f} %"
            + ("" if name == "full" else f" ({name})")
            + (", leaky split" if self.leaky else "")
        )


def _spp(method: str, full: float, casme2: float, samm: float, smic: float, table: str) -> Accuracy:
    figures = {"full": full, "smic": smic, "casme2": casme2, "samm": samm}
    return Accuracy(f"SPP: {method}", figures, f"SPP paper, Table {table}, leave-one-subject-out")


def _six(method: str, none: float, fifth: float, half: float) -> Accuracy:
    figures = {"nothing frozen": none, "20 % frozen": fifth, "50 % frozen": half}
    return Accuracy(f"six CNNs: {method}", figures, "six-CNN paper, Tables 2 to 4, 70/30 split of frames", leaky=True)


ACCURACIES = (
    _spp("base", 75.96, 86.21, 71.21, 70.73, "IV"),
    _spp("2 after 1", 74.75, 84.37, 70.2, 69.92, "IV"),
    _spp("3 after 1", 75.21, 86.67, 68.18, 70.73, "IV"),
    _spp("4 after 1", 75.96, 83.45, 69.19, 74.8, "IV"),
    _spp("5 after 1", 75.06, 86.67, 69.7, 69.11, "IV"),
    _spp("2 after 2", 76.42, 88.05, 70.02, 71.14, "IV"),
    _spp("3 after 2", 75.36, 83.91, 71.21, 71.14, "IV"),
    _spp("4 after 2", 76.87, 86.67, 69.7, 73.98, "IV"),
    _spp("5 after 2", 76.27, 86.67, 69.7, 72.36, "IV"),
    _spp("5-small after 1", 74.91, 84.37, 71.21, 69.51, "VI"),
    _spp("5-small after 2", 76.42, 86.21, 70.2, 72.76, "VI"),
    _six("AlexNet", 99.76, 99.21, 99.84),
    _six("SqueezeNet", 99.79, 99.11, 99.32),
    _six("GoogLeNet", 99.36, 99.31, 99.02),
    _six("EfficientNet-B0", 99.61, 99.15, 98.91),
    _six("ResNet-50", 98.88, 98.37, 98.54),
    _six("MobileNet-V2", 97.89, 97.51, 97.34),
)
"""As Tables 2 to 4 have it; Table 5 repeats them with another GoogLeNet (99.31 for 99.02). Of AlexNet's five trials
with half of the layers frozen (99.77, 99.82, 99.81, 99.88, 98.92) the mean is 99.64, not the 99.84 that the
abstract reports.
"""
BY_ACCURACY = {row.method: row for row in ACCURACIES}
