"""What a model is fed, one file each: `make` turns a clip into arrays, `digest` names all that decides them.

There is the flow map (`flow_map`). The others that the papers use are such files: both flow channels at their own
size, the apex's face, the faces of some frames, the whole clip; each from the `Pair`s of a `FollowedClip`.
"""

from offline.inputs.seam import Input, Made, each_frame

__all__ = ["Input", "Made", "each_frame"]
