"""demo: the whole path on real data, from ratings to recommendations on a phone-sized bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketrec.cli.build import Minutes

if TYPE_CHECKING:
    from pocketrec.data import Dataset


def demo(
    minutes: Minutes = 10,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run.")] = Path(
        "runs/demo"
    ),
) -> None:
    """The main job on MovieLens, end to end. A second call reuses what the first one made."""
    from pocketrec import movielens
    from pocketrec.cli.output import print_ledger, say, size, titles
    from pocketrec.cli.progress import RichReport
    from pocketrec.cli.serve import print_recommendations
    from pocketrec.cli.stages import run_stages
    from pocketrec.ledger import Ledger
    from pocketrec.recommender import Recommender
    from pocketrec.run import STAGES, Run

    # 1. Real ratings: 671 people, 9,066 films.
    run = Run.open(out, movielens.folder(), minutes=minutes)
    say(f"{run.dataset.name}: {len(run.dataset.user_ids):,} users, {len(run.dataset.ids):,} items")

    # 2. Teacher (a language model and the ratings), student, bundle.
    run_stages(run, STAGES, RichReport())

    # 3. How much accuracy each hand-over cost, on the same users.
    print_ledger(Ledger.load(run.folder).rows)

    # 4. What the bundle, alone, recommends to one of them, and why.
    bundle = run.folder / "bundle"
    recommender = Recommender.open(bundle)
    user, history = _sample_user(run.dataset)
    print(f"For user {user}, who has rated {len(history)} films, the last of them:")
    print(
        *(f"  {title}" for title in titles(recommender.catalogue, history[-5:]).values()), sep="\n"
    )
    print_recommendations(recommender, history, recommender.recommend(history, k=10))

    # 5. What was made and what to do with it.
    print(f"The bundle: {bundle} ({size(bundle)})")
    print(f"Open the app on it: pocketrec app {bundle}")


def _sample_user(dataset: "Dataset") -> tuple[str, list[str]]:
    """The first user with a history that a person can take in at a glance: 20 to 40 items."""
    lengths = [len(sequence) for sequence in dataset.sequences]
    row = next((row for row, length in enumerate(lengths) if 20 <= length <= 40), 0)
    return dataset.user_ids[row], [dataset.ids.ids[item] for item in dataset.sequences[row]]
