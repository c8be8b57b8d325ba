"""Which proxies there are. A new one is a file with a frozen dataclass of options, and a row here."""

from __future__ import annotations

from importlib import import_module

from corpusmill.documents.errors import RecipeError, nearest
from corpusmill.scaling.contract import Proxy

PROXIES = {
    "ngram": "corpusmill.scaling.proxies.ngram_proxy:NgramProxy",
    "transformer": "corpusmill.scaling.proxies.transformer_proxy:TransformerProxy",
    "command": "corpusmill.scaling.proxies.command_proxy:CommandProxy",
}
"""Kind -> module:class."""


def proxy_class(kind: object, place: str) -> type[Proxy]:
    """The class of a kind of proxy.

    Raises:
        RecipeError: if there is no such kind.
    """
    if not isinstance(kind, str) or kind not in PROXIES:
        near = nearest(str(kind), PROXIES)
        mend = f'did you mean "{near}"?' if near else f"kinds: {', '.join(PROXIES)}"
        raise RecipeError(f"{place}.kind: no proxy is called {kind!r}; {mend}")
    module, _, name = PROXIES[kind].partition(":")
    found: type[Proxy] = getattr(import_module(module), name)
    return found
