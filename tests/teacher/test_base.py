"""What a recipe's base names, and the base teacher that comes with the package."""

import json
from pathlib import Path

import pytest

from pocketrec.errors import UsageError
from teacher.adapter import FACTS
from teacher.base import ADAPTER, RELEASED, Base, open_base
from teacher.recipe import SequenceRecipe, TeacherRecipe

HELD_OUT = {"amazon-scientific", "movielens-small", "movielens-small-2016"}


def test_the_default_recipe_gets_the_released_one_whole() -> None:
    base = open_base(TeacherRecipe())
    assert base.adapter == RELEASED / ADAPTER
    assert base.sequence is not None
    trained_on = json.loads((base.adapter / FACTS).read_text())["backbone"]
    readers = base.sequence.facts["fingerprints"]
    assert readers["language"].startswith(f"{trained_on}/adapter-")
    assert readers["sentences"].startswith("all-minilm-l6-v2-")
    assert len(base.domains) == 10
    assert not HELD_OUT & set(base.domains)


def test_the_released_one_is_small_and_has_a_card_that_names_its_domains() -> None:
    files = [path for path in RELEASED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15e6
    card = (RELEASED / "MODEL_CARD.md").read_text()
    assert all(name in card for name in open_base(TeacherRecipe()).domains)


@pytest.mark.parametrize(
    "recipe",
    [
        TeacherRecipe(base="none"),
        TeacherRecipe(backbone="another/model"),
        TeacherRecipe(layer=6),
    ],
)
def test_what_cannot_use_it_goes_without(recipe: TeacherRecipe) -> None:
    assert open_base(recipe) == Base()
    assert open_base(recipe).domains == []


def test_a_sequence_model_of_another_shape_takes_the_adapter_alone() -> None:
    base = open_base(TeacherRecipe(sequence=SequenceRecipe(dimensions=64)))
    assert base == Base(RELEASED / ADAPTER)
    assert len(base.domains) == 10


def test_a_folder_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a base teacher, found"):
        open_base(TeacherRecipe(base=str(tmp_path)))
    (tmp_path / ADAPTER).mkdir()
    with pytest.raises(UsageError, match=r"with adapter_config\.json, found no such file"):
        open_base(TeacherRecipe(base=str(tmp_path)))
