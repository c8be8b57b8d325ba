"""How kernels are compiled: one decorator, one set of array types, one cache.

A kernel takes read-only inputs (`uint8` text, `int32` offsets and positions, `uint64` hashes) and writes into arrays
that its caller made. numba compiles once for each combination of types, and read-only and writable arrays are different
types to it, so `frozen` marks what goes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

# nogil: the thread that watches for the parent's death must run beside a kernel. boundscheck stays off: offsets come
# from Arrow, which has validated them.
_compile = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")


def kernel(function: Function) -> Function:
    """Compiles `function` at its first call and keeps the machine code on disk."""
    return _compile(function)


def inlined(function: Function) -> Function:
    """A helper of kernels, copied into each of them."""
    return _inline(function)


@intrinsic
def trailing_zeros(context: Any, value: Any) -> Any:
    """For kernels: how many zero bits stand below the lowest set bit of a uint64; 64 for zero. One instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def ones(context: Any, value: Any) -> Any:
    """For kernels: how many bits of a uint64 are set. One instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def add_sixteen(context: Any, values: Any, row: Any, sums: Any, at: Any, place: Any) -> Any:
    """For kernels: adds sixteen float32 of `values[row, place:]` to those of `sums[at, place:]`. Both of one width.

    One vector operation; left to itself, the compiler must first prove that the two arrays do not overlap.
    """
    vector = ir.VectorType(ir.FloatType(), 16)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(kind: Any, array: Any, first: Any) -> Any:
            made = context.make_array(kind)(context, builder, array)
            width = builder.extract_value(made.shape, 1)
            index = builder.add(builder.mul(first, width), arguments[4])
            return builder.bitcast(builder.gep(made.data, [index]), vector.as_pointer())

        source = pointer(signature.args[0], arguments[0], arguments[1])
        target = pointer(signature.args[2], arguments[2], arguments[3])
        total = builder.fadd(builder.load(target, align=1), builder.load(source, align=1))
        builder.store(total, target, align=1)
        return context.get_dummy_value()

    return types.void(values, types.int64, sums, types.int64, types.int64), generate


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only, contiguous view of `array`: the only form in which kernels take inputs."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
