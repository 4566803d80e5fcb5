"""The loops over pixels of the fold-parallel trainer, as vector code.

One vector holds 16 lanes: all kernels of one or several folds that read the same image, so that a pixel is
broadcast and each lane multiplies it by its own weight. LLVM vector types are written out because LLVM does
not keep the 28 accumulators of a scalar loop in registers, nor vectorise loops over arrays that might
overlap; on machines with narrower vectors LLVM splits the same code.

All arguments are addresses of C-ordered float32 arrays: image ``(3, 30, 30)``, zero border of one; weights
and gradient ``(28, 16)``, rows [channel, dy, dx] then bias; activations and deltas ``(28, 28, 16)``; peaks,
places and slopes ``(100, 16)``, one row a window of the 3×3 stride 3 'same' pooling, whose first and last
windows are cut by the border; places hold the position 28·y + x of the window's peak.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
SIDE = 28
PADDED = SIDE + 2
TAPS = 27
WINDOWS = 10
_BLOCK = 14  # positions whose accumulators stay in registers; divides SIDE
_OFFSETS = [(c * PADDED + dy) * PADDED + dx for c in range(3) for dy in range(3) for dx in range(3)]

_F32 = ir.FloatType()
_VEC = ir.VectorType(_F32, LANES)
_I64 = ir.IntType(64)
_ZERO = ir.Constant(_VEC, [0.0] * LANES)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VEC, [_VEC] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, (a, b, c))


def _at(builder: Any, base: Any, index: Any, kind: Any) -> Any:
    """Pointer to `kind` at float32 number `index` behind the address `base`."""
    return builder.inttoptr(builder.add(base, builder.mul(index, _I64(4))), kind.as_pointer())


def _load(builder: Any, base: Any, row: Any) -> Any:
    """Vector in row `row` (an int, or an i64 value) of an array of 16 lanes."""
    index = _I64(row * LANES) if isinstance(row, int) else builder.mul(row, _I64(LANES))
    return builder.load(_at(builder, base, index, _VEC), align=4)


def _store(builder: Any, value: Any, base: Any, row: Any) -> None:
    index = _I64(row * LANES) if isinstance(row, int) else builder.mul(row, _I64(LANES))
    builder.store(value, _at(builder, base, index, _VEC), align=4)


def _spread(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VEC, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    one = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(one, undefined, lanes)


def _pixel(builder: Any, image: Any, index: Any) -> Any:
    return _spread(builder, builder.load(_at(builder, image, index, _F32), align=4))


def _void(arguments: int) -> Any:
    return types.void(*[types.intp] * arguments)


@intrinsic
def convolve(typingctx, image, weights, activations, sums):  # type: ignore[no-untyped-def]
    """activations = relu(weights * image); sums (2, 16) += their sum and sum of squares."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, blocks = _I64(SIDE), _I64(SIDE // _BLOCK)
        with cgutils.for_range(builder, rows) as row, cgutils.for_range(builder, blocks) as block:
            x0 = builder.mul(block.index, _I64(_BLOCK))
            _convolve_block(builder, args, row.index, x0)
        return context.get_dummy_value()

    return _void(4), codegen


def _convolve_block(builder: Any, args: Any, y: Any, x0: Any) -> None:
    image, weights, activations, sums = args
    corner = builder.add(builder.mul(y, _I64(PADDED)), x0)
    acc = [_load(builder, weights, TAPS)] * _BLOCK
    for tap, offset in enumerate(_OFFSETS):
        weight = _load(builder, weights, tap)
        for j in range(_BLOCK):
            pixel = _pixel(builder, image, builder.add(corner, _I64(offset + j)))
            acc[j] = _fma(builder, pixel, weight, acc[j])
    first, second = _load(builder, sums, 0), _load(builder, sums, 1)
    position = builder.add(builder.mul(y, _I64(SIDE)), x0)
    for j in range(_BLOCK):
        a = builder.select(builder.fcmp_ordered(">", acc[j], _ZERO), acc[j], _ZERO)
        first = builder.fadd(first, a)
        second = _fma(builder, a, a, second)
        _store(builder, a, activations, builder.add(position, _I64(j)))
    _store(builder, first, sums, 0)
    _store(builder, second, sums, 1)


@intrinsic
def correlate(typingctx, image, deltas, gradient):  # type: ignore[no-untyped-def]
    """gradient += correlation of the image with the deltas; its last row += their sum (the bias)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        image, deltas, gradient = args
        acc = [cgutils.alloca_once_value(builder, _load(builder, gradient, t)) for t in range(TAPS + 1)]
        with cgutils.for_range(builder, _I64(SIDE)) as row, cgutils.for_range(builder, _I64(SIDE)) as column:
            corner = builder.add(builder.mul(row.index, _I64(PADDED)), column.index)
            delta = _load(builder, deltas, builder.add(builder.mul(row.index, _I64(SIDE)), column.index))
            for tap, offset in enumerate(_OFFSETS):
                pixel = _pixel(builder, image, builder.add(corner, _I64(offset)))
                builder.store(_fma(builder, pixel, delta, builder.load(acc[tap])), acc[tap])
            builder.store(builder.fadd(builder.load(acc[TAPS]), delta), acc[TAPS])
        for tap in range(TAPS + 1):
            _store(builder, builder.load(acc[tap]), gradient, tap)
        return context.get_dummy_value()

    return _void(3), codegen


def _each_window(builder: Any, body: Any) -> None:
    """Call `body(window, positions)` for the pooling windows: the border ones are cut, so 3×3 kinds of
    window.
    """
    spans = ([0, 1], [-1, 0, 1], [-1, 0])  # of the first, the middle and the last window, about its centre

    def rows(y: Any, dys: list[int]) -> None:
        def columns(x: Any, dxs: list[int]) -> None:
            centre = builder.mul(builder.add(builder.mul(y, _I64(SIDE)), x), _I64(3))
            window = builder.add(builder.mul(y, _I64(WINDOWS)), x)
            body(window, [builder.add(centre, _I64(dy * SIDE + dx)) for dy in dys for dx in dxs])

        _first_middle_last(builder, columns, spans)

    _first_middle_last(builder, rows, spans)


def _first_middle_last(builder: Any, body: Any, spans: tuple[list[int], ...]) -> None:
    body(_I64(0), spans[0])
    with cgutils.for_range(builder, _I64(WINDOWS - 1), start=_I64(1)) as loop:
        body(loop.index, spans[1])
    body(_I64(WINDOWS - 1), spans[2])


@intrinsic
def pool(typingctx, activations, signs, peaks, places):  # type: ignore[no-untyped-def]
    """peaks, places = the largest of signs × activations of each window (times signs again), and where it is.

    signs (16,): ±1, that of batch norm's γ; pooling after a falling normalisation picks the smallest.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        activations, signs, peaks, places = args
        sign = _load(builder, signs, 0)

        def body(window: Any, positions: list[Any]) -> None:
            best = where = None
            for position in positions:
                value = builder.fmul(sign, _load(builder, activations, position))
                place = _spread(builder, builder.sitofp(position, _F32))
                if best is None:
                    best, where = value, place
                    continue
                larger = builder.fcmp_ordered(">", value, best)
                best, where = builder.select(larger, value, best), builder.select(larger, place, where)
            _store(builder, builder.fmul(best, sign), peaks, window)
            _store(builder, where, places, window)

        _each_window(builder, body)
        return context.get_dummy_value()

    return _void(4), codegen


@intrinsic
def unpool(typingctx, activations, affine, slopes, places):  # type: ignore[no-untyped-def]
    """In place, activations → deltas: affine[0] + affine[1] × activation, + slope at peaks, where active."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        activations, affine, slopes, places = args
        constant, linear = _load(builder, affine, 0), _load(builder, affine, 1)

        def body(window: Any, positions: list[Any]) -> None:
            slope, where = _load(builder, slopes, window), _load(builder, places, window)
            for position in positions:
                a = _load(builder, activations, position)
                place = _spread(builder, builder.sitofp(position, _F32))
                peak = builder.select(builder.fcmp_ordered("==", where, place), slope, _ZERO)
                delta = builder.fadd(_fma(builder, linear, a, constant), peak)
                active = builder.fcmp_ordered(">", a, _ZERO)
                _store(builder, builder.select(active, delta, _ZERO), activations, position)

        _each_window(builder, body)
        return context.get_dummy_value()

    return _void(4), codegen
