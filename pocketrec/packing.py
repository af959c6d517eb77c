"""Short texts, each packed by itself so that it can be read alone, with a dictionary that all of them share."""

import zlib
from collections.abc import Callable

WINDOW = 32_768
"""Bytes that deflate looks back."""
_RAW = -zlib.MAX_WBITS
"""Without zlib's header and checksum, of 6 bytes: what is packed here lies in files with checksums of their own."""


def shared_dictionary(sample: str) -> bytes:
    """The end of ``sample``, texts one after the other, as what packed texts may refer to."""
    return sample.encode()[-WINDOW:]


def deflater(dictionary: bytes) -> Callable[[str], bytes]:
    """What packs a text (RFC 1951); nothing for nothing."""
    primed = zlib.compressobj(9, zlib.DEFLATED, _RAW, zdict=dictionary)

    def deflate(text: str) -> bytes:
        if not text:
            return b""
        packer = primed.copy()  # which spares taking the dictionary in again
        return packer.compress(text.encode()) + packer.flush()

    return deflate


def inflater(dictionary: bytes) -> Callable[[bytes], str]:
    """What unpacks texts that were packed with the same ``dictionary``.

    It raises zlib.error for bytes that are not packed, and UnicodeDecodeError where they hold no text.
    """
    primed = zlib.decompressobj(_RAW, dictionary)
    return lambda packed: primed.copy().decompress(packed).decode() if packed else ""
