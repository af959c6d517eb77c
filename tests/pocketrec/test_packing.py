import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.packing import WINDOW, deflater, inflater, shared_dictionary


@given(st.text(), st.text())
def test_what_was_packed_comes_back(text, sample):
    dictionary = shared_dictionary(sample)
    assert inflater(dictionary)(deflater(dictionary)(text)) == text


def test_a_dictionary_makes_short_texts_of_one_kind_shorter():
    places = ("Paris", "Lagos", "Osaka", "Lima")
    text = "A retired detective comes to {} and finds an unexpected friend."
    deflate = deflater(shared_dictionary(text.format(places[0])))
    for place in places[1:]:
        assert len(deflate(text.format(place))) < 20 < len(deflater(b"")(text))


def test_a_dictionary_is_no_longer_than_deflate_looks_back():
    assert shared_dictionary("é" * WINDOW) == ("é" * (WINDOW // 2)).encode()


def test_other_bytes_are_refused():
    with pytest.raises(zlib.error):
        inflater(b"")(b"\xff\x00")
