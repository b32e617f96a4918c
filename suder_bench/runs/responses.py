"""The responses of a large run in little memory: columns of numbers and bytes, of which one response at a time is made."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, MutableMapping

from suder_bench.records import Response

Key = tuple[str, int]
"""A response's place in its benchmark: (sample id, repeat)."""

DIGEST = 32
"""Bytes of a digest."""
MOST_REPEATS = 1 << 16
_LARGEST = 1 << 63
_NONE = -1


class Columns(MutableMapping[Key, Response]):
    """Responses of one benchmark by key, each made anew whenever it is looked at.

    What no run would write, but a line may hold (a digest that is none, a seed of more than 64 bits), is held as it is.
    """

    def __init__(self, benchmark: str) -> None:
        self._benchmark = benchmark
        self._count = 0
        self._rows: dict[str, array[int]] = {}
        self._seeds, self._seconds, self._ends = array("q"), array("d"), array("q", [0])
        self._digests, self._contents, self._drawn = bytearray(), bytearray(), bytearray()
        self._others: dict[Key, Response] = {}

    def __len__(self) -> int:
        return self._count + len(self._others)

    def __iter__(self) -> Iterator[Key]:
        for sample, rows in self._rows.items():
            yield from ((sample, repeat) for repeat, row in enumerate(rows) if row != _NONE)
        yield from self._others

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and (self._row(*key) != _NONE or key in self._others)

    def __getitem__(self, key: Key) -> Response:
        sample, repeat = key
        row = self._row(sample, repeat)
        if row == _NONE:
            return self._others[key]
        content = self._contents[self._ends[row] : self._ends[row + 1]].decode("utf-8", "surrogatepass")
        text, image = (None, content) if self._drawn[row] else (content, None)
        return Response(self._benchmark, sample, repeat, self._seeds[row], self._digest(row), text, image, self._seconds[row])

    def digest(self, key: Key) -> str | None:
        """Of the response with this key, None where there is none."""
        row = self._row(*key)
        if row != _NONE:
            return self._digest(row)
        other = self._others.get(key)
        return None if other is None else other.digest

    def __setitem__(self, key: Key, response: Response) -> None:
        if key in self:
            del self[key]
        if not self._fits(key, response):
            self._others[key] = response
            return
        rows = self._rows.setdefault(key[0], array("q"))
        rows.extend([_NONE] * (key[1] + 1 - len(rows)))
        rows[key[1]] = len(self._seeds)
        self._seeds.append(response.seed)
        self._seconds.append(response.seconds)
        self._digests += bytes.fromhex(response.digest)
        self._drawn.append(response.image is not None)
        content = response.image if response.text is None else response.text
        assert content is not None
        self._contents += content.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._contents))
        self._count += 1

    def __delitem__(self, key: Key) -> None:
        if self._row(*key) == _NONE:
            del self._others[key]
        else:
            self._rows[key[0]][key[1]] = _NONE
            self._count -= 1

    def _row(self, sample: str, repeat: int) -> int:
        rows = self._rows.get(sample)
        return _NONE if rows is None or not 0 <= repeat < len(rows) else rows[repeat]

    def _digest(self, row: int) -> str:
        return self._digests[row * DIGEST : (row + 1) * DIGEST].hex()

    def _fits(self, key: Key, response: Response) -> bool:
        if not (0 <= key[1] < MOST_REPEATS and -_LARGEST <= response.seed < _LARGEST and len(response.digest) == 2 * DIGEST):
            return False
        if (response.text is None) == (response.image is None) or response.benchmark != self._benchmark:
            return False
        try:
            return bytes.fromhex(response.digest).hex() == response.digest
        except ValueError:
            return False
