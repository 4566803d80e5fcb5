"""What a model is fed, one file each: `make` turns a clip into arrays, `digest` names all that decides them.

A new one is a file here with an `INPUT`, from the `Pair`s of a `FollowedClip`; `INPUTS` has them by name.
"""

from offline.inputs import face, flow_emr, flow_field, flow_map, flow_pair, lbp_top
from offline.inputs.seam import Input, Made, each_frame

__all__ = ["INPUTS", "Input", "Made", "each_frame"]

_ALL: tuple[Input, ...] = (
    flow_map.INPUT, flow_map.MASKED, flow_field.INPUT, flow_pair.INPUT, flow_emr.INPUT, face.INPUT, lbp_top.INPUT,
)  # fmt: skip
INPUTS: dict[str, Input] = {one.name: one for one in _ALL}
"""As ``offline.prepare --input`` names them."""
