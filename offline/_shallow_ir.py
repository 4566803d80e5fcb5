"""The two convolution loops of the fold-parallel trainer, as vector code.

One vector holds 16 lanes: all kernels of one or several folds that read the same image, so the pixel is
broadcast and each lane multiplies it by its own weight. LLVM vector types are written out because the
vectoriser of a scalar loop does not keep 28 accumulators in registers; machines with narrower vectors get
the same code split by LLVM.

Addresses are those of float32 arrays: image ``(3, 30, 30)`` with a border of one, weights ``(28, 16)`` in
rows [channel, dy, dx] with the bias last, activations ``(30, 30, 16)`` with a border of one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
SIDE = 28
PADDED = SIDE + 2
PLANE = PADDED * PADDED
TAPS = 27
_BLOCK = 14  # positions whose accumulators are kept in registers at once; divides SIDE
_OFFSETS = [c * PLANE + dy * PADDED + dx for c in range(3) for dy in range(3) for dx in range(3)]

_F32 = ir.FloatType()
_VEC = ir.VectorType(_F32, LANES)
_I64 = ir.IntType(64)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VEC, [_VEC] * 3)
    return builder.call(
        cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32"), (a, b, c)
    )


def _at(builder: Any, base: Any, index: Any, kind: Any) -> Any:
    """Pointer to `kind` at float32 index `index` behind address `base`."""
    bytes_ = builder.mul(index, _I64(4))
    return builder.inttoptr(builder.add(base, bytes_), kind.as_pointer())


def _load(builder: Any, base: Any, index: Any) -> Any:
    return builder.load(_at(builder, base, index, _VEC), align=4)


def _store(builder: Any, value: Any, base: Any, index: Any) -> None:
    builder.store(value, _at(builder, base, index, _VEC), align=4)


def _splat(builder: Any, base: Any, index: Any) -> Any:
    scalar = builder.load(_at(builder, base, index, _F32), align=4)
    undefined = ir.Constant(_VEC, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


def _relu(builder: Any, x: Any) -> Any:
    zero = ir.Constant(_VEC, [0.0] * LANES)
    return builder.select(builder.fcmp_ordered(">", x, zero), x, zero)


@intrinsic
def convolve(typingctx, image, weights, activations, sums):  # type: ignore[no-untyped-def]
    """activations = relu(weights * image); sums (2, 16) += sum and sum of squares. All arguments: addresses."""
    signature = types.void(types.intp, types.intp, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        image, weights, activations, sums = args
        with (
            cgutils.for_range(builder, _I64(SIDE)) as row,
            cgutils.for_range(builder, _I64(SIDE // _BLOCK)) as block,
        ):
            x0 = builder.mul(block.index, _I64(_BLOCK))
            corner = builder.add(builder.mul(row.index, _I64(PADDED)), x0)
            _convolve_block(builder, image, weights, activations, sums, corner)
        return context.get_dummy_value()

    return signature, codegen


def _convolve_block(builder: Any, image: Any, weights: Any, activations: Any, sums: Any, corner: Any) -> None:
    bias = _load(builder, weights, _I64(TAPS * LANES))
    acc = [bias] * _BLOCK
    for tap, offset in enumerate(_OFFSETS):
        weight = _load(builder, weights, _I64(tap * LANES))
        for j in range(_BLOCK):
            pixel = _splat(builder, image, builder.add(corner, _I64(offset + j)))
            acc[j] = _fma(builder, pixel, weight, acc[j])
    first = _load(builder, sums, _I64(0))
    second = _load(builder, sums, _I64(LANES))
    inside = builder.add(corner, _I64(PADDED + 1))
    for j in range(_BLOCK):
        a = _relu(builder, acc[j])
        first = builder.fadd(first, a)
        second = _fma(builder, a, a, second)
        _store(builder, a, activations, builder.mul(builder.add(inside, _I64(j)), _I64(LANES)))
    _store(builder, first, sums, _I64(0))
    _store(builder, second, sums, _I64(LANES))


@intrinsic
def correlate(typingctx, image, deltas, gradient):  # type: ignore[no-untyped-def]
    """gradient (28, 16) += correlation of image and deltas (30, 30, 16); last row: bias. All: addresses."""
    signature = types.void(types.intp, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        image, deltas, gradient = args
        acc = [
            cgutils.alloca_once_value(builder, _load(builder, gradient, _I64(t * LANES)))
            for t in range(TAPS + 1)
        ]
        with cgutils.for_range(builder, _I64(SIDE)) as row, cgutils.for_range(builder, _I64(SIDE)) as column:
            corner = builder.add(builder.mul(row.index, _I64(PADDED)), column.index)
            inside = builder.mul(builder.add(corner, _I64(PADDED + 1)), _I64(LANES))
            delta = _load(builder, deltas, inside)
            for tap, offset in enumerate(_OFFSETS):
                pixel = _splat(builder, image, builder.add(corner, _I64(offset)))
                builder.store(_fma(builder, pixel, delta, builder.load(acc[tap])), acc[tap])
            builder.store(builder.fadd(builder.load(acc[TAPS]), delta), acc[TAPS])
        for tap in range(TAPS + 1):
            _store(builder, builder.load(acc[tap]), gradient, _I64(tap * LANES))
        return context.get_dummy_value()

    return signature, codegen
