"""A real browser, to look at pages, and what it drew.

Pictures are decoded here, because nothing else in the project needs an image library.
"""

import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tools import browser
from tools.ground import SetupError

SIZE: Final = (1280, 800)
PNG: Final = b"\x89PNG\r\n\x1a\n"
CHANNELS: Final = {2: 3, 6: 4}

Colour = tuple[int, int, int]


def screenshot(page: Path, picture: Path, size: tuple[int, int] = SIZE) -> "Picture":
    """Open a file and take its picture."""
    _wanted()
    browser.screenshot(page, picture, size)
    return Picture.read(picture)


def content_after(page: Path, size: tuple[int, int] = SIZE) -> str:
    """Open a file, let it run, and return its content as it is then."""
    _wanted()
    return browser.content_after(page, size)


def pdf(page: Path, out: Path) -> bytes:
    """Print a file."""
    _wanted()
    browser.browse(page, SIZE, f"--print-to-pdf={out}")
    return out.read_bytes()


def _wanted() -> None:
    """Skip the test where there is no browser, but never in CI."""
    try:
        browser.chromium()
    except SetupError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@dataclass(frozen=True)
class Picture:
    """Pixels of a PNG with 8 bits a channel, row by row."""

    width: int
    height: int
    channels: int
    rows: tuple[bytes, ...]

    @classmethod
    def read(cls, file: Path) -> "Picture":
        """Decode a file (PNG, ISO 15948: colour types 2 and 6, not interlaced)."""
        chunks = dict[bytes, bytes]()
        for kind, content in _chunks(file.read_bytes()):
            chunks[kind] = chunks.get(kind, b"") + content
        width, height, depth, colour, *_rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
        assert (depth, _rest[-1]) == (8, 0)
        channels = CHANNELS[colour]
        flat = zlib.decompress(chunks[b"IDAT"])
        return cls(width, height, channels, tuple(_unfiltered(flat, width * channels, channels)))

    def colours(self) -> Counter[Colour]:
        """How many pixels have each colour."""
        found = Counter[Colour]()
        for row in self.rows:
            planes = (row[at :: self.channels] for at in range(3))
            found.update(zip(*planes, strict=True))
        return found


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert png.startswith(PNG)
    at = len(PNG)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _unfiltered(flat: bytes, stride: int, pixel: int) -> Iterator[bytes]:
    """Rows without their filters (ISO 15948, 9.2)."""
    before = bytes(pixel + stride)
    for start in range(0, len(flat), stride + 1):
        guess = GUESSES[flat[start]]
        row = bytearray(pixel) + flat[start + 1 : start + 1 + stride]
        if guess is not None:
            for at in range(pixel, len(row)):
                row[at] = (row[at] + guess(row[at - pixel], before[at], before[at - pixel])) & 255
        before = bytes(row)
        yield before[pixel:]


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    by_left, by_above, by_corner = abs(guess - left), abs(guess - above), abs(guess - corner)
    if by_left <= by_above and by_left <= by_corner:
        return left
    return above if by_above <= by_corner else corner


GUESSES: Final[tuple[Callable[[int, int, int], int] | None, ...]] = (
    None,
    lambda left, _above, _corner: left,
    lambda _left, above, _corner: above,
    lambda left, above, _corner: (left + above) // 2,
    _paeth,
)
"""By filter: what a byte is guessed to be from its neighbours."""
