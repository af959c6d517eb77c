"""The rules of a file over any scorer, so that their effect is measured like any other change of a model."""

from dataclasses import dataclass

from pocketrec import columns as c
from pocketrec.catalogue import Item
from pocketrec.data import Dataset
from pocketrec.rules import BoundRules, Rules
from pocketrec.splits import Indices
from teacher.scorers import Scorer, Scores


def bind(rules: Rules, dataset: Dataset) -> BoundRules:
    """Rules over the items of a data set, in the order of its ``ids``.

    Raises:
        UsageError: a rule is about no item, or a category or creator that it lists is that of none.
    """
    columns = dataset.items.select(c.ITEM_ID, c.TITLE, c.CATEGORIES, c.CREATOR, c.YEAR)
    return rules.bind(
        [
            Item(item_id=item_id, title=title, categories=categories, creator=creator, year=year)
            for item_id, title, categories, creator, year in columns.iter_rows()
        ]
    )


@dataclass(frozen=True)
class RuledScorer:
    """The ranking that ``rules`` make of another scorer's, as finite scores (`pocketrec.rules.BoundRules.rank`).

    Without the history items, its best k are the list that a bundle with these scores would show under the rules,
    as far as the quotas let the list reach.
    """

    scorer: Scorer
    rules: BoundRules

    @property
    def name(self) -> str:
        return f"{self.scorer.name} with rules"

    def scores(self, histories: list[Indices]) -> Scores:
        scores = self.scorer.scores(histories)
        for row, history in zip(scores, histories, strict=True):
            row[:] = self.rules.rank(row, history)
        return scores
