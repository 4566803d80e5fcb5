"""The iBUG 68-point scheme (Sagonas et al. 2013) from MediaPipe's mesh: the one table, for faces seen and faces drawn.

Points 17 and 26 are the outer ends of the brows. In the mesh these are 70 and 300, the last points of the brows' upper
contours (70-63-105-66-107 and 300-293-334-296-336); 71 and 301, which one of two older tables had, lie beyond the
brows on the temples, where no brow muscle moves the skin.
"""

from __future__ import annotations

MESH_TO_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, 0–16
    *(70, 63, 105, 66, 107),  # the subject's right brow from its outer end, 17–21
    *(336, 296, 334, 293, 300),  # left brow to its outer end, 22–26
    *(168, 197, 5, 4),  # bridge of the nose, 27–30
    *(75, 97, 2, 326, 305),  # below the nose, 31–35
    *(33, 160, 158, 133, 153, 144),  # right eye, 36–41
    *(362, 385, 387, 263, 373, 380),  # left eye, 42–47
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips, 48–59
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips, 60–67
)
"""Mesh point (0-based) of each of the 68 points."""
