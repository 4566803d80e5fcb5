"""One epoch of the shallow network for all folds at once (numba).

The network is LAENet's shape (STSTNet's too): conv 3×3 → ReLU → batch norm → max-pool 3 → dropout →
average-pool 2 → dense 3. A group of folds shares one vector: with 8 kernels lanes 0–7 are one fold, lanes
8–15 the next. Each group runs the epoch's steps on its own, so groups are spread over the cores; images stay
in cache between them.

Batch norm commutes with the max-pool (a falling one, γ < 0, with a min-pool), so that it is applied to the
100 pooled values only; its statistics come from all 784. Its gradient is dense all the same: for a normalised
x̂ of M values, dL/da = γ/σ · (dy − Σdy/M − x̂ Σ(dy x̂)/M), an affine function of a besides the pooled peaks.

Rows of a group's parameters, each (16,): 27 weights [channel, dy, dx], bias, γ, β, 25 × 3 dense weights
[position, class], 3 dense biases (equal in the lanes of a fold).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from offline.training.shallow_ir import LANES, convolve, correlate, pool, unpool
from realtime.vision.jit import jit

BIAS, GAMMA, BETA, DENSE, DENSE_BIAS, ROWS = 27, 28, 29, 30, 105, 108
BATCH_NORM_MOMENTUM, BATCH_NORM_EPSILON = 0.9, 1e-3
ADAM_1, ADAM_2, ADAM_EPSILON = 0.9, 0.999, 1e-7

EXACT: dict[str, Any] = {"fastmath": False, "error_model": "python"}
REORDERED: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz"}, "error_model": "python"}
"""Sums may be taken in another order, but a number that is none stays one."""


@jit(**EXACT, parallel=True)
def train_epoch(
    images, sizes, targets, counts, keep, rates, first_step, kernels, state, moving, trainable, losses,
    scratch,
):  # fmt: skip
    """Run the steps of one epoch for all groups.

    images (s, b, 3, 30, 30); sizes (s,): images in each step; targets (g, s, b, slots, 3): class-weighted
    targets; counts (g, s, b, slots): 1 where the sample may be learnt from, else 0; keep (s, b, 100, 16):
    dropout, 0 or 1/(1−p); rates (s,); state (3, g, 108, 16): parameters and Adam's moments; moving (g, 2,
    16): mean and variance; trainable (108, 16): 0 where frozen; losses (g, slots): sums are added; scratch:
    see `scratch_for`.
    """
    activations, peaks, places, slopes = scratch
    for group in nb.prange(state.shape[1]):
        thread = nb.get_thread_id()
        for step in range(len(sizes)):
            _step(
                images[step, : sizes[step]], targets[group, step], counts[group, step], keep[step],
                rates[step], first_step + step + 1, kernels,
                state[0, group], state[1, group], state[2, group], moving[group], trainable, losses[group],
                activations[thread], peaks[thread], places[thread], slopes[thread],
            )  # fmt: skip


@jit(**EXACT)
def _step(
    images, targets, counts, keep, rate, t, kernels, weights, m1, m2, moving, trainable, losses, acts, peaks,
    places, slopes
):  # fmt: skip
    gradient = np.zeros((ROWS, LANES), np.float32)
    mean, inverse, samples, variance = _forward(images, counts, kernels, weights, acts, peaks, places)
    _head(
        len(images),
        targets,
        counts,
        keep,
        kernels,
        weights,
        mean,
        inverse,
        samples,
        peaks,
        slopes,
        gradient,
        losses,
    )
    _backward(images, kernels, weights, mean, inverse, samples, acts, places, slopes, counts, gradient)
    _adam(weights, gradient, m1, m2, trainable, np.float32(rate), t)
    for lane in range(LANES):
        moving[0, lane] += (1 - BATCH_NORM_MOMENTUM) * (mean[lane] - moving[0, lane])
        moving[1, lane] += (1 - BATCH_NORM_MOMENTUM) * (variance[lane] - moving[1, lane])


@jit(**EXACT)
def _forward(images, counts, kernels, weights, acts, peaks, places):
    """Convolution, statistics over the fold's own samples, pooling → mean, 1/σ, samples, variance by lane."""
    signs = np.ones(LANES, np.float32)
    for lane in range(LANES):
        if weights[GAMMA, lane] < 0:
            signs[lane] = -1
    total = np.zeros((2, LANES), np.float64)
    sums = np.empty((2, LANES), np.float32)
    samples = np.zeros(LANES, np.float64)
    for b in range(len(images)):
        sums[:] = 0
        convolve(images[b].ctypes.data, weights.ctypes.data, acts[b].ctypes.data, sums.ctypes.data)  # type: ignore
        pool(acts[b].ctypes.data, signs.ctypes.data, peaks[b].ctypes.data, places[b].ctypes.data)
        for lane in range(LANES):
            own = counts[b, _slot(lane, kernels, counts.shape[1])]
            samples[lane] += own
            total[0, lane] += own * sums[0, lane]
            total[1, lane] += own * sums[1, lane]
    mean = np.empty(LANES, np.float32)
    inverse = np.empty(LANES, np.float32)
    variance = np.empty(LANES, np.float32)
    for lane in range(LANES):
        pixels = max(samples[lane], 1.0) * 784.0
        centre = total[0, lane] / pixels
        variance[lane] = max(total[1, lane] / pixels - centre * centre, 0.0)
        mean[lane] = centre
        inverse[lane] = 1.0 / np.sqrt(variance[lane] + BATCH_NORM_EPSILON)
    return mean, inverse, samples, variance


@jit(**EXACT)
def _slot(lane, kernels, slots):
    """Fold of a lane within its group; lanes left over go with the last."""
    return min(lane // kernels, slots - 1)


@jit(**REORDERED)
def _head(n, targets, counts, keep, kernels, weights, mean, inverse, samples, peaks, slopes, gradient, losses):
    """Normalise to loss, and back: slopes = dL/d(pooled), gradient of γ, β and the dense layer."""
    slots = targets.shape[1]
    features = np.empty((25, LANES), np.float32)
    scores = np.empty(3, np.float32)
    delta = np.zeros((3, LANES), np.float32)
    scale = np.empty(LANES, np.float32)
    shift = np.empty(LANES, np.float32)
    for lane in range(LANES):
        scale[lane] = weights[GAMMA, lane] * inverse[lane]
        shift[lane] = weights[BETA, lane] - mean[lane] * scale[lane]
    for b in range(n):
        _pooled_features(peaks[b], keep[b], scale, shift, features)
        for slot in range(slots):
            low, high = slot * kernels, (slot + 1) * kernels
            if counts[b, slot] == 0:
                delta[:, low:high] = 0
                continue
            losses[slot] += _loss(features, weights, targets[b, slot], low, high, scores) / samples[low]
            for c in range(3):
                for lane in range(low, high):
                    delta[c, lane] = scores[c] / samples[low]
        _dense_gradient(features, delta, keep[b], peaks[b], weights, mean, inverse, slopes[b], gradient)


@jit(**REORDERED)
def _pooled_features(peaks, keep, scale, shift, features):
    for q in range(25):
        corner = (q // 5) * 20 + (q % 5) * 2
        for lane in range(LANES):
            total = np.float32(0)
            for w in (corner, corner + 1, corner + 10, corner + 11):
                total += (peaks[w, lane] * scale[lane] + shift[lane]) * keep[w, lane]
            features[q, lane] = np.float32(0.25) * total


@jit(**REORDERED)
def _loss(features, weights, target, low, high, scores):
    """Cross-entropy of one sample; scores := dL/dlogits = p · Σt − t."""
    for c in range(3):
        logit = weights[DENSE_BIAS + c, low]
        for q in range(25):
            for lane in range(low, high):
                logit += features[q, lane] * weights[DENSE + q * 3 + c, lane]
        scores[c] = logit
    top = max(scores[0], scores[1], scores[2])
    norm = np.exp(scores[0] - top) + np.exp(scores[1] - top) + np.exp(scores[2] - top)
    mass = target[0] + target[1] + target[2]
    loss = 0.0
    for c in range(3):
        loss -= target[c] * (scores[c] - top - np.log(norm))
        scores[c] = np.exp(scores[c] - top) / norm * mass - target[c]
    return loss


@jit(**REORDERED)
def _dense_gradient(features, delta, keep, peaks, weights, mean, inverse, slopes, gradient):
    for c in range(3):
        for lane in range(LANES):
            gradient[DENSE_BIAS + c, lane] += delta[c, lane]
    for q in range(25):
        corner = (q // 5) * 20 + (q % 5) * 2
        for lane in range(LANES):
            back = np.float32(0)
            for c in range(3):
                gradient[DENSE + q * 3 + c, lane] += features[q, lane] * delta[c, lane]
                back += weights[DENSE + q * 3 + c, lane] * delta[c, lane]
            for w in (corner, corner + 1, corner + 10, corner + 11):
                slope = np.float32(0.25) * back * keep[w, lane]
                slopes[w, lane] = slope
                gradient[BETA, lane] += slope
                gradient[GAMMA, lane] += slope * (peaks[w, lane] - mean[lane]) * inverse[lane]


@jit(**EXACT)
def _backward(images, kernels, weights, mean, inverse, samples, acts, places, slopes, counts, gradient):
    """Through batch norm, pooling, ReLU and convolution; a sample that does not count has no deltas."""
    scale = np.empty(LANES, np.float32)
    affine = np.empty((2, LANES), np.float32)
    own = np.empty((2, LANES), np.float32)
    for lane in range(LANES):
        scale[lane] = weights[GAMMA, lane] * inverse[lane]
        pixels = max(samples[lane], 1.0) * 784.0
        bent = gradient[GAMMA, lane] / pixels * inverse[lane]
        affine[1, lane] = -scale[lane] * bent
        affine[0, lane] = -scale[lane] * (gradient[BETA, lane] / pixels - bent * mean[lane])
    for b in range(len(images)):
        for lane in range(LANES):
            count = counts[b, _slot(lane, kernels, counts.shape[1])]
            own[0, lane] = affine[0, lane] * count
            own[1, lane] = affine[1, lane] * count
        for w in range(100):
            for lane in range(LANES):
                slopes[b, w, lane] *= scale[lane]
        unpool(acts[b].ctypes.data, own.ctypes.data, slopes[b].ctypes.data, places[b].ctypes.data)  # type: ignore
        correlate(images[b].ctypes.data, acts[b].ctypes.data, gradient.ctypes.data)


@jit(**EXACT)
def _adam(weights, gradient, m1, m2, trainable, rate, t):
    """Adam as Keras writes it (ε outside the bias correction)."""
    correction = rate * np.float32(np.sqrt(1 - ADAM_2**t) / (1 - ADAM_1**t))
    for row in range(ROWS):
        for lane in range(LANES):
            g = gradient[row, lane]
            m1[row, lane] += np.float32(1 - ADAM_1) * (g - m1[row, lane])
            m2[row, lane] += np.float32(1 - ADAM_2) * (g * g - m2[row, lane])
            step = correction * m1[row, lane] / (np.sqrt(m2[row, lane]) + np.float32(ADAM_EPSILON))
            weights[row, lane] -= trainable[row, lane] * step


def scratch_for(threads: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Working memory of `train_epoch`, one part a thread: activations, peaks, places, slopes."""
    pooled = (threads, batch, 100, LANES)
    activations = np.zeros((threads, batch, 28, 28, LANES), np.float32)
    return (
        activations,
        np.zeros(pooled, np.float32),
        np.zeros(pooled, np.float32),
        np.zeros(pooled, np.float32),
    )
