"""Rules by hand, and against a list filled step by step."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketrec.catalogue import Item
from pocketrec.errors import UsageError
from pocketrec.ranker import top_k
from pocketrec.rules import BoundRules, Rules

NOBODY = np.zeros(0, dtype=np.int64)


def films(*categories: str) -> list[Item]:
    return [Item(item_id=f"f{n}", title="x", categories=c) for n, c in enumerate(categories)]


def about(condition: str, items: list[Item]) -> list[int]:
    """The places of the items that a condition is met by."""
    return Rules.parse(f"[[exclude]]\n{condition}").bind(items).excluded.tolist()


def bound(
    items: int,
    boosts: dict[int, float] | None = None,
    excluded: tuple[int, ...] = (),
    quotas: tuple[tuple[set[int], int], ...] = (),
) -> BoundRules:
    shifts = np.zeros(items, dtype=np.float32)
    for item, by in (boosts or {}).items():
        shifts[item] = by
    counted = np.array([[i in members for i in range(items)] for members, _ in quotas], dtype=bool)
    most = np.array([most for _, most in quotas], dtype=np.int64)
    return BoundRules(
        shifts,
        np.array(excluded, dtype=np.int64),
        counted.reshape(len(quotas), items),
        most,
    )


# --- which items ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Comedy|Drama|War",
        "Comedy, Drama, War",
        "Comedy,Drama,War",
        "Comedy; drama ;War",
        "War > DRAMA > Comedy",
        "Comedy / Drama",
        "['Comedy', 'Drama']",
        '["Comedy", "Drama"]',
        "Comedy\tDrama\nWar",
        "Comedy、Drama，War",
        "Comedy,\ufeffDrama",
        "Dráma",
        "Drama",
    ],
)
def test_a_category_is_found_among_all_separators(text):
    items = films("Melodrama, Drama Queen", text, "")
    assert about('category = "drama"', items) == [1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Psychological  Horror", "Action, Psychological Horror"),
        ("Animation & Modeling", "Design &amp; Illustration, Animation &amp; Modeling, 2D"),
        ("Test, Measure & Inspect", "Tools|Test, Measure & Inspect|Gauges"),
        ("gay/queer protagonist", "short,gay/queer protagonist"),
        ("Children's", "Children's"),
        ("Sci-Fi", "Action|Sci-Fi"),
        ("Comédie", "COMEDIE"),
        ("剧情", "剧情、喜剧"),
    ],
)
def test_names_that_hold_spaces_signs_and_separators(value, text):
    assert about(f'category = "{value}"', films("Horror", text, "Measure & Inspect")) == [1]


def test_a_part_of_a_name_is_not_the_name():
    items = films("Horror", "Psychological Horror", "Horror Comedy")
    assert about('category = "Horror"', items) == [0]


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ("stainless steel", [0]),
        ("Steel", [0, 1]),
        ("steel raw", [1]),
        ("sci fi", [2]),
        ("industrial & SCIENTIFIC", [0]),
        ("football", [3]),
    ],
)
def test_words_are_found_in_a_row_inside_of_categories(value, places):
    items = films(
        "Industrial & Scientific Raw Materials Stainless Steel Shims",
        "Steel, Raw",
        "Sci-Fi",
        "sports, football_nfl, steelworks",
    )
    assert about(f'category_words = "{value}"', items) == places


def test_creator_id_and_years():
    items = [
        Item("7", "a", creator="Infinity Ward,Aspyr (Mac)", year=2003),
        Item("8", "b", creator="Tomás Gutiérrez Alea, Juan Carlos Tabío", year=1993),
        Item("9", "c", creator="PopCap Games, Inc."),
    ]
    assert about('creator = "aspyr (mac)"', items) == [0]
    assert about('creator = ["Tomas Gutierrez Alea", "PopCap Games, Inc."]', items) == [1, 2]
    assert about('item_id = ["9", 7, "nowhere"]', items) == [0, 2]
    assert about("item_id = 8", items) == [1]
    assert about("year_from = 1993", items) == [0, 1]
    assert about("year_from = 1993\nyear_to = 1993", items) == [1]
    assert about("year_to = 2002", items) == [1]


def test_all_conditions_of_a_rule_must_be_met():
    items = [
        Item(i, i, categories=c, year=y)
        for i, c, y in (("a", "Drama", 1950), ("b", "Drama", 1990), ("c", "War", 1990))
    ]
    assert about('category = ["Drama", "War"]\nyear_from = 1980', items) == [1, 2]
    assert about('category = "Drama"\nyear_from = 1980', items) == [1]


def test_binding_keeps_amounts_and_adds_up_boosts():
    text = """
    [[boost]]
    category = "A"
    by = 0.5
    [[quota]]
    category = "B"
    most = 3
    [[boost]]
    category = "B"
    by = -2
    [[quota]]
    item_id = "f0"
    most = 1
    """
    rules = Rules.parse(text).bind(films("A", "A, B", "B", ""))
    assert rules.boosts.tolist() == [0.5, -1.5, -2, 0]
    assert rules.boosts.dtype == np.float32
    assert rules.excluded.tolist() == []
    assert rules.quotas.tolist() == [[False, True, True, False], [True, False, False, False]]
    assert rules.most.tolist() == [3, 1]


# --- faults ---------------------------------------------------------------------------------------

KEYS = "category, category_words, creator, item_id, year_from, year_to"
FAULTS = [
    ("[[boosts]]\nby = 1", "f: expected [[boost]], [[exclude]], [[quota]], found 'boosts'"),
    ('category = "A"', "found 'category'"),
    ('[exclude]\ncategory = "A"', "f: expected [[exclude]] above each rule, found exclude = {"),
    ("exclude = 3", "found exclude = 3"),
    ("exclude = [3]", "found exclude = [3]"),
    ("[[exclude]", "f: expected rules in TOML, found: "),
    (
        '[[exclude]]\ncategory = "A"\n[[exclude]]\ngenre = "A"',
        f"f: [[exclude]] 2: expected the keys {KEYS}, found 'genre'; rename or remove it",
    ),
    ('[[exclude]]\ncategory = "A"\nby = 1', "found 'by'"),
    ('[[boost]]\ncategory = "A"', "f: [[boost]] 1: expected the key 'by', found none; add it"),
    ('[[quota]]\ncategory = "A"', "expected the key 'most', found none"),
    ("[[boost]]\nby = 1", f"f: [[boost]] 1: expected a condition ({KEYS}), found none"),
    ("[[exclude]]", "f: [[exclude]] 1: expected a condition"),
    ("[[exclude]]\ncategory = 3", "category: expected a text or a list of texts, found 3"),
    ("[[exclude]]\ncategory = []", "category: expected a text or a list of texts, found []"),
    ('[[exclude]]\ncategory = ["A", 3]', "expected a text or a list of texts, found 3"),
    ('[[exclude]]\ncategory = " , "', "expected a text or a list of texts, found ' , '"),
    ('[[exclude]]\ncategory_words = "+"', "expected a text or a list of texts, found '+'"),
    ("[[exclude]]\nitem_id = true", "item_id: expected a text or a list of texts, found True"),
    ("[[exclude]]\nyear_from = 1999.0", "year_from: expected a year such as 1999, found 1999.0"),
    ("[[exclude]]\nyear_to = true", "year_to: expected a year such as 1999, found True"),
    (
        "[[exclude]]\nyear_from = 2000\nyear_to = 1999",
        "expected year_from up to year_to, found 2000 and 1999; swap them",
    ),
    *(
        (f"[[boost]]\nitem_id = 1\nby = {value}", "by: expected a number from -100 to 100, found")
        for value in ('"1"', "true", "nan", "inf", "100.5", "[1]")
    ),
    *(
        (f"[[quota]]\nitem_id = 1\nmost = {value}", "most: expected a whole number of at least 1")
        for value in ("0", "-1", "2.0", "true", '"3"')
    ),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_faults_are_told_with_their_place(text, said):
    with pytest.raises(UsageError) as caught:
        Rules.parse(text, "f")
    message = str(caught.value)
    assert message.startswith("f: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            'category = ["Horror", "Comedi"]',
            "f: [[exclude]] 1: category 'Comedi': expected what an item of the catalogue has, found it at none of "
            "2 items; did you mean 'comedy'?",
        ),
        ('category = "Dark"', "1 hold it inside of a category: write category_words for that"),
        ('category = "zzzzzz"', "at none of 2 items; correct or remove it"),
        (
            'category_words = "horrorr"',
            "category_words 'horrorr'",
        ),
        ('creator = "Anyone"', "none has any creator: remove the rule"),
        (
            'item_id = "nowhere"',
            "f: [[exclude]] 1: expected conditions that an item meets, found none of 2",
        ),
        ('category = "Horror"\nyear_from = 1990', "found none of 2 items that meets all of them"),
    ],
)
def test_a_rule_about_nothing_is_refused(condition, said):
    rules = Rules.parse(f"[[exclude]]\n{condition}", "f")
    with pytest.raises(UsageError) as caught:
        rules.bind(films("Horror", "Dark Comedy, Comedy"))
    assert said in str(caught.value)


def test_a_file_is_read_with_or_without_a_mark(tmp_path):
    text = '[[exclude]]\r\ncategory = "Ünï"\r\n'
    for name, encoding in (("plain", "utf-8"), ("marked", "utf-8-sig")):
        (tmp_path / name).write_bytes(text.encode(encoding))
        rules = Rules.load(tmp_path / name)
        assert rules.exclude[0].category == ("Ünï",)
        assert rules.exclude[0].where == f"{tmp_path / name}: [[exclude]] 1"


@pytest.mark.parametrize("content", [None, b"\xff\xfe[", b"[[exclude]"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    if content is not None:
        (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"r\.toml: expected .*TOML, found: "):
        Rules.load(tmp_path / "r.toml")


def test_the_file_in_the_documents_is_valid(request):
    text = (request.config.rootpath / "docs/rules.md").read_text(encoding="utf-8")
    rules = Rules.parse(text.partition("```toml\n")[2].partition("```")[0])
    assert [len(rules.boost), len(rules.exclude), len(rules.quota)] == [2, 2, 1]


# Few characters, each of another kind: all of Unicode takes a new machine two seconds to list.
TEXTS = st.text("aB1 ,|'\"\\\n\t\x00é»、\ufeff\U0001f600", max_size=5)
TOML_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=5,
)
ROW = st.dictionaries(
    st.sampled_from([*KEYS.split(", "), "by", "most", "other"]), TOML_VALUES, max_size=3
)


@given(
    st.dictionaries(
        st.sampled_from(["boost", "exclude", "quota", "other"]), st.lists(ROW, max_size=2)
    )
)
def test_any_table_is_read_or_refused(tables):
    def toml(value: object) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f'"{k}" = {toml(v)}' for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(toml, value)) + "]"
        if isinstance(value, str):
            return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
        return str(value).lower()

    text = "\n".join(f"{kind} = {toml(rows)}" for kind, rows in tables.items())
    try:
        rules = Rules.parse(text)
    except UsageError:
        return
    assert len(rules.boost) == len(tables.get("boost", []))
    assert all(-100 <= rule.by <= 100 for rule in rules.boost)
    assert all(rule.most >= 1 for rule in rules.quota)
    assert "other" not in tables


# --- scores and lists -----------------------------------------------------------------------------


def floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_apply_by_hand():
    # Mean 2, deviation sqrt(2): half of it is 0.7071.
    scores = floats(0, 1, 2, 3, 4)
    ruled = bound(5, {1: 0.5, 4: -1}, excluded=(3,)).apply(scores)
    assert ruled[[0, 1, 2, 4]] == pytest.approx([0, 1 + 0.5 * 2**0.5, 2, 4 - 2**0.5])
    assert ruled[3] < 0
    assert ruled.dtype == np.float32
    assert scores.tolist() == [0, 1, 2, 3, 4]


def test_equal_scores_are_boosted_too():
    assert bound(3, {1: 0.5}).apply(floats(7, 7, 7)).tolist() == [7, 7.5, 7]


def test_take_by_hand():
    rules = bound(6, quotas=(({0, 1, 2}, 1), ({2, 3, 4}, 2)))
    scores = floats(6, 5, 4, 3, 2, 1)
    # 0 fills the first quota, so 1 and 2 are passed over; 3 and 4 fill the second.
    assert rules.take(scores, 6, NOBODY).tolist() == [0, 3, 4, 5]
    assert rules.take(scores, 3, NOBODY).tolist() == [0, 3, 4]
    # Without 0 it is 1 that fills the first quota; 2 would have taken a place of both.
    assert rules.take(scores, 6, np.array([0, 3])).tolist() == [1, 4, 5]
    # 2 takes a place of both quotas.
    assert rules.take(scores, 6, np.array([0, 1])).tolist() == [2, 3, 5]


def test_rank_by_hand():
    rules = bound(6, excluded=(5,), quotas=(({0, 1, 2}, 1),))
    scores = floats(6, 5, 4, 3, 2, 9)
    assert np.argsort(-rules.rank(scores, NOBODY)).tolist() == [0, 3, 4, 1, 2, 5]
    assert rules.rank(scores, NOBODY)[[0, 3, 4]].tolist() == [6, 3, 2]
    # 0 is in the history and takes no place.
    assert np.argsort(-rules.rank(scores, np.array([0]))).tolist() == [0, 1, 3, 4, 2, 5]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e7, 1e30])
def test_what_goes_below_stays_apart_at_any_scale(scale):
    rng = np.random.default_rng(0)
    scores = (rng.normal(size=3000) * scale).astype(np.float32)
    rules = bound(3000, excluded=(2999,), quotas=((set(range(2000)), 1),))
    ruled = rules.rank(scores, NOBODY)
    assert np.isfinite(ruled).all()
    assert ruled[2000:2999].tolist() == scores[2000:2999].tolist()
    passed_over = np.sort(ruled[:2000])[:-1]
    assert len(np.unique(passed_over)) == 1999
    assert passed_over.max() < scores.min()
    assert ruled[2999] < passed_over.min()
    assert np.array_equal(np.argsort(-ruled[:2000]), np.argsort(-scores[:2000]))


def test_scores_of_another_catalogue_are_refused():
    for shape in ((4,), (1, 3)):
        with pytest.raises(UsageError, match="expected the scores of 3 items"):
            bound(3).apply(np.zeros(shape, dtype=np.float32))


@st.composite
def ruled_catalogues(draw):
    """Scores with ties, rules with overlaps, and a history."""
    items = draw(st.integers(1, 25))
    members = st.sets(st.integers(0, items - 1))
    few = st.integers(-4, 4).map(lambda n: n / 2)
    scores = floats(*draw(st.lists(few, min_size=items, max_size=items)))
    boosts = draw(st.dictionaries(st.integers(0, items - 1), few, max_size=6))
    excluded = tuple(sorted(draw(members)))
    quotas = tuple(draw(st.lists(st.tuples(members, st.integers(1, 4)), max_size=3)))
    history = np.array(sorted(draw(members)), dtype=np.int64)
    return scores, boosts, excluded, quotas, history


def filled(
    scores: npt.NDArray[np.float32], quotas: tuple[tuple[set[int], int], ...], out: set[int]
) -> list[int]:
    """The list as it is defined: from the top, place by place."""
    left = [most for _, most in quotas]
    listed = []
    for item in np.argsort(-scores, kind="stable").tolist():
        mine = [q for q, (members, _) in enumerate(quotas) if item in members]
        if item not in out and all(left[q] > 0 for q in mine):
            listed.append(item)
            for q in mine:
                left[q] -= 1
    return listed


@settings(max_examples=150)
@given(ruled_catalogues(), st.integers(1, 30))
def test_lists_keep_every_rule(case, k):
    scores, boosts, excluded, quotas, history = case
    rules = bound(len(scores), boosts, excluded, quotas)
    ruled = rules.apply(scores)
    found = rules.take(ruled, k, history).tolist()
    out = {*excluded, *history.tolist()}
    assert found == filled(ruled, quotas, out)[:k]
    assert out.isdisjoint(found)
    assert len(set(found)) == len(found)
    for members, most in quotas:
        assert len(members.intersection(found)) <= most
    free = (
        set(range(len(scores))) - set(boosts) - set(excluded) - set().union(*(m for m, _ in quotas))
    )
    plain = [i for i in top_k(scores, len(scores), history).tolist() if i in free]
    of_found = [i for i in found if i in free]
    assert of_found == plain[: len(of_found)]
    assert all(ruled[i] == scores[i] for i in free)


@settings(max_examples=150)
@given(ruled_catalogues())
def test_a_ranking_begins_with_the_list(case):
    scores, boosts, excluded, quotas, history = case
    rules = bound(len(scores), boosts, excluded, quotas)
    ranked = rules.rank(scores, history)
    assert ranked.dtype == np.float32
    assert np.isfinite(ranked).all()
    best = [i for i in np.argsort(-ranked, kind="stable").tolist() if i not in history]
    listed = rules.take(rules.apply(scores), len(scores), history).tolist()
    assert best[: len(listed)] == listed
    rest = best[len(listed) :]
    assert rest[len(rest) - len(set(excluded) - set(history.tolist())) :] == [
        i for i in excluded if i not in history
    ]


@given(ruled_catalogues(), st.integers(1, 30))
def test_no_rules_change_nothing(case, k):
    scores, *_, history = case
    rules = Rules().bind(films(*[""] * len(scores)))
    assert rules.apply(scores).tolist() == scores.tolist()
    assert rules.rank(scores, history).tolist() == scores.tolist()
    assert rules.take(scores, k, history).tolist() == top_k(scores, k, history).tolist()
