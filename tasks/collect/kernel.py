"""
What compiled code shares: how it is kept and loaded, and how it reads bytes.

Numba compiles what is in modules named kernel for this machine when it is first called, and keeps
the result on disk. It runs without the GIL and only ever refuses: what it is not sure of is handed
to the exact Python path, which defines what is counted.

Integers are np.uint64 throughout where they are hashes: Numba turns uint64 with int64 into floats.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic

PADDING: Final = 64
"""Bytes after the end of a buffer that may be read or written and never matter: a vector."""
ZERO = np.uint64(0)
ONE = np.uint64(1)
P1 = np.uint64(11400714785074694791)
P2 = np.uint64(14029467366897019727)
P3 = np.uint64(1609587929392839161)
P4 = np.uint64(9650029242287828579)
P5 = np.uint64(2870177450012600261)
"""Odd numbers without a pattern: the primes of XXH64."""
LF, CR, SPACE, QUOTE, PLUS, DASH, DOT, SLASH, COLON = b'\n\r "+-./:'
OPENING, BACKSLASH, CLOSING, UNDERSCORE = b"[\\]_"
_KNOWN: Final = ((0, 68),)
"""Versions of Numba whose code that was kept is known to need nothing else; others take longer."""
_TASKS: Final = Path(__file__).parents[1]
_STAMP: Final = blake2b(
    b"".join(path.read_bytes() for path in sorted((
        *_TASKS.glob("*/*kernel.py"), *_TASKS.glob("*/formats/*kernel.py")
    )))
).hexdigest()  # fmt: skip
"""
Of all that is compiled: what was kept is of no use once any of it is another.

Numba itself would look at the one file that a function is in, and not at what it calls.
"""


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """
    Compiles a function, without counting references to arrays, which the caller holds.

    A count is an atomic operation per array and call, a dozen of them for every line. Whoever
    allocates says `_nrt=True`.
    """

    def compile_lazily(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(cache=True, nogil=True, **{"_nrt": False, **options})(function)
        compiled._cache._cache_file._source_stamp = _STAMP  # noqa: SLF001 -- there is no other way
        return compiled

    return compile_lazily


def load_quickly() -> None:
    """
    Code that was kept is loaded without all that Numba could compile.

    Numba gets ready to compile whenever it loads something, which takes longer than the loading.
    Where nothing was kept, it gets ready when it compiles.
    """
    if numba.version_info.short in _KNOWN:
        FunctionCache.load_overload = _load_overload  # type: ignore[method-assign]


def _load_overload(self: Any, signature: Any, target: Any) -> Any:
    rtsys.initialize(target)
    return self._load_overload(signature, target)


@intrinsic
def load64(_typing: Any, array: Any, _index: Any) -> Any:
    """Eight bytes at any position, as the little-endian number that they are on all platforms."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load(context, builder, signature.args[0], args[0], args[1], ir.IntType(64))

    return types.uint64(array, types.intp), generate


@intrinsic
def count_trailing_zeros(_typing: Any, mask: Any) -> Any:
    """How many of the lowest bits of a mask are not set."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return mask(mask), generate


def locate(context: Any, builder: Any, kind: Any, array: Any, index: Any, of: Any) -> Any:
    """Where a value of the type *of* is, at any position in an array of bytes."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), of.as_pointer())


def load(context: Any, builder: Any, kind: Any, array: Any, index: Any, of: Any) -> Any:
    """The value there."""
    loaded = builder.load(locate(context, builder, kind, array, index, of))
    loaded.align = 1
    return loaded


def splat(builder: Any, byte: Any, vector: Any) -> Any:
    """A vector of one byte, again and again."""
    lane = ir.IntType(32)
    nothing = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(lane, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(nothing, byte, lane(0)), nothing, zeros)


@njit(inline="always")
def low_bytes(count):
    """Ones in so many of the low bytes."""
    return (ONE << np.uint64(8 * count)) - ONE if count < 8 else ~ZERO


@njit(inline="always")
def is_digit(byte):
    return 48 <= byte <= 57


@njit(inline="always")
def read_hex(byte):
    """The value of a hexadecimal digit, or -1."""
    if is_digit(byte):
        return np.int64(byte) - 48
    lower = byte | 32
    if 97 <= lower <= 102:
        return np.int64(lower) - 87
    return np.int64(-1)
