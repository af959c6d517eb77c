import pytest

from pocketrec.titles import split_title


@pytest.mark.parametrize(
    ("written", "title", "year"),
    [
        ("Toy Story (1995)", "Toy Story", 1995),
        ("Deer Hunter, The (1978)", "The Deer Hunter", 1978),
        (
            "Seventh Seal, The (Sjunde inseglet, Det) (1957)",
            "The Seventh Seal (Sjunde inseglet, Det)",
            1957,
        ),
        ("Babylon 5", "Babylon 5", None),
        ("2001: A Space Odyssey (1968) ", "2001: A Space Odyssey", 1968),
        ("This World, Then the Fireworks (1997)", "This World, Then the Fireworks", 1997),
        ("Fawlty Towers (1975-1979)", "Fawlty Towers (1975-1979)", None),
        ("", "", None),
    ],
)
def test_article_and_year_are_told_from_the_title(written, title, year):
    assert split_title(written) == (title, year)
