"""Table of values by host pattern: services for every request, certificates for every TLS handshake."""

from collections.abc import Iterator, Mapping

from livegate.settings.addresses import DEFAULT


class HostTable[T]:
    """Immutable look-up by host: exact name, then the longest wildcard, then `default`."""

    __slots__ = ("_by_pattern", "_default", "_exact", "_wildcards")

    def __init__(self, by_pattern: Mapping[str, T]) -> None:
        self._by_pattern = dict(by_pattern)
        self._default = by_pattern.get(DEFAULT)
        self._wildcards = {name[2:]: value for name, value in by_pattern.items() if name.startswith("*.")}
        self._exact = {name: value for name, value in by_pattern.items() if name != DEFAULT and name[:2] != "*."}

    def __iter__(self) -> Iterator[T]:
        return iter(self._by_pattern.values())

    def match(self, host: str) -> T | None:
        """Return the value for a host name without port, or None.

        Case and one trailing dot are ignored. `*.example.com` matches any depth below example.com, but not example.com
        itself. Time is linear in the number of labels.
        """
        name = host.lower().removesuffix(".")
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        rest = name
        while self._wildcards and (dot := rest.find(".")) >= 0:
            label, rest = rest[:dot], rest[dot + 1 :]
            if label and (wildcard := self._wildcards.get(rest)) is not None:
                return wildcard
        return self._default
