"""The student's networks: what each output may depend on."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tiny_data import unit_rows
from torch import Tensor
from torch.nn import functional

from distill.recipe import StudentRecipe
from distill.student import ItemTable, SequenceEncoder, TextEncoder

RECIPE = StudentRecipe(dimensions=16, layers=2, dropout=0.3, item_dropout=0.5)
WARM = np.array([True] * 6 + [False] * 2)


def sequence_encoder() -> SequenceEncoder:
    torch.manual_seed(0)
    encoder = SequenceEncoder(10, RECIPE).eval()
    with torch.no_grad():
        encoder.position.normal_()
    return encoder


def text_encoder() -> TextEncoder:
    torch.manual_seed(0)
    encoder = TextEncoder(30, 16).eval()
    with torch.no_grad():
        encoder.importance.weight.normal_()
    return encoder


def item_table(seed: int = 0) -> ItemTable:
    torch.manual_seed(seed)
    return ItemTable(unit_rows((8, 5)), WARM, RECIPE)


@pytest.fixture
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.usefixtures("without_gradients")
class TestSequenceEncoder:
    items = torch.from_numpy(unit_rows((14, 16)).reshape(2, 7, 16))

    def test_a_state_has_read_no_later_item(self) -> None:
        encoder = sequence_encoder()
        before = encoder(self.items)
        for place in range(7):
            changed = self.items.clone()
            changed[0, place] = -changed[0, place]
            after = encoder(changed)
            torch.testing.assert_close(after[0, : place + 1], before[0, : place + 1])
            torch.testing.assert_close(after[1], before[1])
            assert ((after - before)[0, place + 1 :].abs().amax(dim=-1) > 1e-3).all()

    def test_a_shorter_history_gives_the_states_of_a_longer_one(self) -> None:
        encoder = sequence_encoder()
        for length in range(8):
            torch.testing.assert_close(
                encoder(self.items[:, :length]), encoder(self.items)[:, : length + 1]
            )

    def test_no_items(self) -> None:
        found = sequence_encoder()(torch.zeros(3, 0, 16))
        assert found.shape == (3, 1, 16)
        torch.testing.assert_close(found[0], found[2])
        assert torch.isfinite(found).all()

    def test_the_length_of_a_state_is_the_temperature(self) -> None:
        found = sequence_encoder()(self.items)
        torch.testing.assert_close(found.norm(dim=-1), torch.full((2, 8), 15.0))

    def test_the_temperature_is_bounded(self) -> None:
        encoder = sequence_encoder()
        encoder.log_temperature.fill_(50.0)
        assert encoder(self.items).norm(dim=-1).max() == pytest.approx(100.0, rel=1e-4)

    def test_the_longest_history(self) -> None:
        assert sequence_encoder()(torch.zeros(1, 10, 16)).shape == (1, 11, 16)


@pytest.mark.usefixtures("without_gradients")
class TestTextEncoder:
    tokens = torch.tensor([[5, 9, 2], [7, 7, 1]])

    def test_padding_changes_nothing(self) -> None:
        encoder = text_encoder()
        padded = functional.pad(self.tokens, (0, 4))
        torch.testing.assert_close(encoder(padded), encoder(self.tokens))
        inside = torch.tensor([[0, 5, 0, 9, 2], [7, 0, 7, 1, 0]])
        torch.testing.assert_close(encoder(inside), encoder(self.tokens))

    def test_unit_rows(self) -> None:
        found = text_encoder()(self.tokens)
        assert found.shape == (2, 16)
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(2))

    def test_the_mean_is_weighted_by_learned_importance(self) -> None:
        encoder = text_encoder()
        encoder.contract.weight.zero_()
        encoder.contract.bias.zero_()
        weight = encoder.importance.weight[[5, 9, 2]].exp()
        mean = (encoder.embedding.weight[[5, 9, 2]] * weight).sum(0) / weight.sum()
        torch.testing.assert_close(encoder(self.tokens)[0], mean / mean.norm())

    def test_a_text_without_tokens(self) -> None:
        found = text_encoder()(torch.zeros(2, 3, dtype=torch.int64))
        torch.testing.assert_close(found[0], found[1])
        assert found.norm(dim=-1).tolist() == pytest.approx([1, 1], abs=1e-5)

    def test_the_order_of_words_does_not_matter(self) -> None:
        encoder = text_encoder()
        torch.testing.assert_close(encoder(self.tokens.flip(1)), encoder(self.tokens))


class TestItemTable:
    def push(self, table: ItemTable, steps: int = 5) -> None:
        """Steps that pull every item towards one direction."""
        optimiser = torch.optim.AdamW(table.parameters(), lr=0.05)
        for _ in range(steps):
            optimiser.zero_grad()
            (-table()[:, 0].sum()).backward()
            optimiser.step()

    def test_starts_at_the_projected_features(self) -> None:
        table = item_table().eval()
        with torch.no_grad():
            torch.testing.assert_close(table(), table.from_features())

    def test_an_item_without_interactions_keeps_no_residual(self) -> None:
        table = item_table()
        self.push(table)
        assert table.residual.weight[torch.from_numpy(WARM)].abs().min(dim=1).values.max() > 0
        assert not table.residual.weight[~torch.from_numpy(WARM)].any()
        table.eval()
        with torch.no_grad():
            torch.testing.assert_close(table()[6:], table.from_features()[6:])
            assert not torch.allclose(table()[:6], table.from_features()[:6], atol=1e-3)

    def test_a_rate_multiplies_the_residual(self) -> None:
        faster = ItemTable(unit_rows((8, 5)), WARM, RECIPE.model_copy(update={"id_rate": 10.0}))
        self.push(faster)
        faster.eval()
        with torch.no_grad():
            residual = 10 * faster.residual.weight * torch.from_numpy(WARM)[:, None]
            expected = functional.normalize(faster.project(faster.features) + residual, dim=-1)
            torch.testing.assert_close(faster(), expected)

    def test_unit_rows_with_and_without_dropout(self) -> None:
        table = item_table()
        self.push(table)
        for found in (table.train()(), table.eval()(), table.train().from_features()):
            torch.testing.assert_close(found.norm(dim=-1), torch.ones(8))

    def test_what_the_text_encoder_learns_has_no_dropout(self) -> None:
        table = item_table().train()
        first: Tensor = table.from_features()
        torch.testing.assert_close(first, table.from_features())

    @pytest.mark.parametrize("rate", [1.0, 10.0])
    def test_starts_where_the_teacher_has_the_items(self, rate: float) -> None:
        # Of the warm ones all, in as many dimensions; of those that nobody chose what their features say.
        recipe = RECIPE.model_copy(update={"id_rate": rate})
        table = ItemTable(unit_rows((8, 5)), WARM, recipe).eval()
        taught = torch.from_numpy(unit_rows((8, recipe.dimensions), seed=3))
        length = table.project(table.features).norm(dim=-1).mean()
        table.start_from(taught, torch.from_numpy(4.0 * WARM.astype(np.float32)))
        with torch.no_grad():
            found = table()
            warm = torch.from_numpy(WARM)
            torch.testing.assert_close(found[warm] @ found[warm].T, taught[warm] @ taught[warm].T)
            torch.testing.assert_close(found[~warm], table.from_features()[~warm])
            assert not table.residual.weight[~warm].any()
            whole = table.project(table.features) + rate * table.residual.weight
            torch.testing.assert_close(whole[warm].norm(dim=-1), length.expand(6))

    def test_features_take_over_what_they_can_say(self) -> None:
        # The teacher's space, of rank 5 in 24 dimensions, is a projection of the features.
        raw, projection = unit_rows((40, 5), seed=1), unit_rows((5, 24), seed=2)
        taught = functional.normalize(torch.from_numpy(raw @ projection), dim=-1)
        features = taught.numpy() @ np.linalg.pinv(projection)
        table = ItemTable(features, np.ones(40, dtype=bool), RECIPE).eval()
        table.start_from(taught, torch.full((40,), 1e4))
        with torch.no_grad():
            found = table.from_features()
        torch.testing.assert_close(found @ found.T, taught @ taught.T, atol=1e-3, rtol=1e-3)
        assert table.residual.weight.abs().max() < 1e-3
