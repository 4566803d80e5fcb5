"""Bi-WOOF (Liong et al. 2018, "Less is more"): flow orientations, weighted by magnitude in a block and by its mean
strain; a linear SVM.

8 orientations in 5×5 blocks. From clips it reads the flow field in px. Flow maps are stretched by image and channel:
the zero of u and v is lost and put at the image's median, and the magnitudes of images don't compare. That is
Bi-WOOF-like, not Bi-WOOF.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.inputs import flow_field, flow_map
from offline.training.linear_svm import LinearSvm, SvmRecipe
from offline.training.protocol import Entry

BLOCKS, BINS = 5, 8
_ANGLES = 2 * np.pi * np.arange(BINS) / BINS
AXES = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)
"""(2, 8) middles of the orientations."""


def describe(fields: NDArray[Any], shown: str) -> NDArray[np.float32]:
    """(n, H, W, 3) u, v, strain → (n, 200); shown: the name of the input."""
    fields = np.asarray(fields, np.float32)
    flow = fields[..., :2]
    if shown == flow_map.INPUT.name:
        flow = flow - np.median(flow, axis=(1, 2), keepdims=True)
    turned = np.eye(BINS, dtype=np.float32)[(flow @ AXES).argmax(-1)]
    weighted = turned * np.sqrt((flow**2).sum(-1, keepdims=True))
    rows, columns = members(fields.shape[1]), members(fields.shape[2])
    histograms = np.einsum("nhwk,hr,wc->nrck", weighted, rows, columns, optimize=True)
    strains = np.einsum("nhw,hr,wc->nrc", fields[..., 2], rows, columns, optimize=True)
    return (histograms * strains[..., None]).reshape(len(fields), -1).astype(np.float32)


def members(size: int) -> NDArray[np.float32]:
    """(size, blocks): the mean over each block's pixels."""
    own = np.eye(BLOCKS, dtype=np.float32)[np.arange(size) * BLOCKS // size]
    return own / own.sum(0)


def describe_tf(fields: Any, shown: str) -> Any:
    """The same of (1, H, W, 3), in TensorFlow."""
    import tensorflow as tf

    _, height, width, _ = fields.shape
    flow, pixels = fields[..., :2], height * width
    if shown == flow_map.INPUT.name:
        ranked = tf.math.top_k(tf.transpose(tf.reshape(flow, (pixels, 2))), pixels // 2 + 1).values
        middle = tf.reduce_mean(ranked[:, -2:] if pixels % 2 == 0 else ranked[:, -1:], axis=-1)
        flow -= tf.reshape(middle, (1, 1, 1, 2))
    along = tf.matmul(tf.reshape(flow, (pixels, 2)), AXES)
    turned = tf.one_hot(tf.argmax(along, axis=-1), BINS)
    weighted = turned * tf.sqrt(tf.reduce_sum(tf.reshape(flow, (pixels, 2)) ** 2, axis=-1, keepdims=True))
    both = tf.concat([weighted, tf.reshape(fields[..., 2:3], (pixels, 1))], axis=-1)
    pooled = tf.matmul(np.kron(members(height), members(width)).T, both)  # (25, 9)
    return tf.reshape(pooled[:, :BINS] * pooled[:, BINS:], (1, -1))


MODEL = Entry(
    name="bi-woof",
    source="Liong et al. 2018",
    published="Bi-WOOF",
    input=flow_field.INPUT,
    also=(flow_map.INPUT,),
    reads=f"{flow_field.INPUT.title}; or flow maps, which lack zero and magnitude",
    trainer=LinearSvm(BLOCKS**2 * BINS, describe, describe_tf),
    recipe=SvmRecipe(),
    settled="Blocks and orientations are the paper's; cost 1 and full class weights were written down before any "
    "result and not changed.",
)
