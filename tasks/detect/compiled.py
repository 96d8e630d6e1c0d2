"""How what Numba has compiled comes back from disk."""

from typing import Any, Final

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

_KNOWN: Final = ((0, 68),)
"""Versions of Numba whose code that was kept is known to need nothing else; others take longer."""


def load_quickly() -> None:
    """
    Code that was kept is loaded without all that Numba could compile.

    Numba gets ready to compile whenever it loads something, which takes longer than the loading.
    Where nothing was kept, it gets ready when it compiles.
    """
    if numba.version_info.short in _KNOWN:
        FunctionCache.load_overload = _load_overload  # type: ignore[method-assign]


def _load_overload(self: Any, signature: Any, target: Any) -> Any:  # noqa: ANN401 -- Numba's own
    rtsys.initialize(target)
    return self._load_overload(signature, target)
