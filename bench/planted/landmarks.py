"""Points of the face mesh, by what they lie on. R and L are the person's own sides."""

from __future__ import annotations

OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip
RIGHT_EYE = [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7]
LEFT_EYE = [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249]
LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
STABLE = [33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 234, 454, 127, 356, 10, 109, 338]
"""What expressions move least: the frame against which the rest of the face is said to move."""

RIGHT_CHEEK, LEFT_CHEEK = 234, 454  # the face's width is taken between them
RIGHT_CORNER, LEFT_CORNER = 33, 263  # outer corners of the eyes: the face's own horizontal
NOSE = 1
IRISES = (468, 473)

Sided = dict[str, list[int]]
INNER_BROW: Sided = {"R": [107, 66, 55, 65], "L": [336, 296, 285, 295]}
OUTER_BROW: Sided = {"R": [70, 63, 46, 53], "L": [300, 293, 276, 283]}
MID_BROW: Sided = {"R": [105, 52, 63, 66], "L": [334, 282, 293, 296]}
LIP_CORNER: Sided = {"R": [61], "L": [291]}
NASOLABIAL: Sided = {"R": [205], "L": [425]}
WING: Sided = {"R": [129, 98], "L": [358, 327]}
NOSE_SIDE: Sided = {"R": [198, 126], "L": [420, 355]}
UPPER_LIP: Sided = {"R": [39, 37], "L": [269, 267]}
CHEEK: Sided = {"R": [50], "L": [280]}
