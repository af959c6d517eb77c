"""Commands on a bundle: recommend, similar, explain, encode, add-items, verify, inspect."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketrec.cli.options import Bundle, Count, History, Json, parse_history
from pocketrec.errors import UsageError

if TYPE_CHECKING:
    from pocketrec.recommender import Reason, Recommendations, Recommender

ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="An item id.")]


def recommend(
    bundle: Bundle,
    history: History = None,
    disliked: Annotated[
        str | None,
        typer.Option(metavar="ID,ID", help="Items that lower what is near them."),
    ] = None,
    histories: Annotated[
        Path | None,
        typer.Option(
            metavar="IN.jsonl",
            help='Many at once: lines of {"user_id", "history"}, "disliked" where told; - is stdin.',
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.jsonl", help="Where the answers to --histories go; stdout unless told."
        ),
    ] = None,
    k: Count = 10,
    rules: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with [[boost]], [[exclude]] and [[quota]]."),
    ] = None,
    json: Json = False,
) -> None:
    """Recommend to one history, or to every history of a file."""
    if (history is None) == (histories is None):
        raise UsageError("recommend: expected --history ID,ID or --histories IN.jsonl, one of them")
    if history is not None and out is not None:
        raise UsageError("recommend: --out goes with --histories; redirect stdout instead")
    if histories is not None and disliked is not None:
        raise UsageError(
            'recommend: with --histories "disliked" stands in each line; leave --disliked out'
        )
    if histories is not None and json:
        raise UsageError("recommend: --histories writes JSON lines already; leave --json out")

    from pocketrec.cli.batch import recommend_file
    from pocketrec.cli.output import print_json
    from pocketrec.recommender import Recommender
    from pocketrec.rules import Rules

    recommender = Recommender.open(bundle)
    bound = None if rules is None else recommender.bind(Rules.load(rules))
    if histories is not None:
        recommend_file(recommender, histories, out, k, bound)
        return
    ids = parse_history(history or "")
    against = parse_history(disliked or "", "--disliked")
    found = recommender.recommend(ids, k, disliked=against, rules=bound)
    if json:
        print_json(
            {
                "history": ids,
                "is_default": found.is_default,
                "unknown": list(found.unknown),
                "items": _explained(recommender, found, ids),
            }
        )
    else:
        print_recommendations(recommender, ids, found, against)


def print_recommendations(
    recommender: "Recommender",
    history: Sequence[str],
    found: "Recommendations",
    disliked: Sequence[str] = (),
) -> None:
    """A table of items with scores and reasons; of the default list with how many chose them."""
    from pocketrec.cli.output import cell, results, say, table

    if found.unknown:
        asked = len(history) + len(disliked)
        say(f"{len(found.unknown)} of {asked} ids are not in the bundle: {_listed(found.unknown)}")
    if found.is_default:
        print("No known item in the history: the default list, what most people chose")
        made = table("id", "title", "chosen by", right=["chosen by"])
        # Not the list's scores: a rule's boost is no further person.
        chosen_by = recommender.scores([])
        for row in _rows(recommender, found):
            count = f"{chosen_by[recommender.ids.index_of(row['item_id'])]:,.0f}"
            made.add_row(cell(row["item_id"]), cell(row["title"]), count)
    else:
        made = table("id", "title", "score", "because of", right=["score"])
        for row in _explained(recommender, found, history):
            because = [cell(reason["title"]) for reason in row["because"]]
            score = f"{row['score']:.3f}"
            made.add_row(cell(row["item_id"]), cell(row["title"]), score, *because)
    results().print(made)


def similar(bundle: Bundle, item: ItemId, k: Count = 10, json: Json = False) -> None:
    """Items most like one item."""
    from pocketrec.cli.output import cell, print_json, results, table
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle)
    rows = _rows(recommender, recommender.similar(item, k))
    if json:
        print_json({"item_id": item, "items": rows})
        return
    made = table("id", "title", "score", right=["score"])
    for row in rows:
        made.add_row(cell(row["item_id"]), cell(row["title"]), f"{row['score']:.3f}")
    results().print(made)


def explain(
    bundle: Bundle,
    item: ItemId,
    history: Annotated[str, typer.Option(metavar="ID,ID", help="Item ids, oldest first.")],
    k: Annotated[int, typer.Option("-k", metavar="K", help="How many reasons.")] = 3,
    json: Json = False,
) -> None:
    """Which items of a history speak for an item.

    Measured: how far the item's score falls without each of them.
    """
    from pocketrec.cli.output import cell, print_json, results, table
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle)
    ids = parse_history(history)
    reasons = _reasons(recommender, ids, item, k)
    if json:
        print_json({"item_id": item, "history": ids, "because": reasons})
        return
    if not reasons:
        print("Nothing in this history speaks for it.")
        return
    made = table("id", "title", "score falls by", right=["score falls by"])
    for reason in reasons:
        made.add_row(cell(reason["item_id"]), cell(reason["title"]), f"{reason['drop']:.3f}")
    results().print(made)


def encode(
    bundle: Bundle,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; lines of stdin where none is given."),
    ] = None,
) -> None:
    """Turn texts into item vectors, one JSON line each."""
    from itertools import islice

    from pocketrec.cli.output import print_json
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle)
    lines = iter(texts) if texts else (line.rstrip("\r\n") for line in sys.stdin)
    while batch := list(islice(lines, 64)):
        for text, vector in zip(batch, recommender.encode(batch), strict=True):
            print_json({"text": text, "vector": [round(float(value), 6) for value in vector]})


def add_items(
    bundle: Bundle,
    items: Annotated[
        Path,
        typer.Argument(
            metavar="ITEMS.jsonl", help='Lines of {"item_id", "title", ...}; - is stdin.'
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="BUNDLE2", help="The new bundle; must not exist yet.")
    ],
) -> None:
    """Write a new bundle with further items, by text alone."""
    from pocketrec.cli.batch import read_items
    from pocketrec.cli.output import say, size
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle)
    new = read_items(items)
    recommender.add_items(new, out)
    say(f"{out}: {len(recommender.ids) + len(new):,} items, {len(new):,} of them new ({size(out)})")


def verify(bundle: Bundle, json: Json = False) -> None:
    """Check that a bundle is whole, unaltered and answers."""
    from pocketrec.cli.output import print_json, size
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle, verify=True)
    recommender.recommend(recommender.ids.names([0]), k=1)
    recommender.encode(["a title"])
    if json:
        print_json({"bundle": str(bundle), "ok": True, "files": len(recommender.manifest.files)})
    else:
        files = len(recommender.manifest.files)
        print(f"{bundle}: whole and unaltered, {files} files, {size(bundle)}")


def inspect(bundle: Bundle, json: Json = False) -> None:
    """Show data, teacher, sizes and accuracy of a bundle."""
    from pocketrec.cli.output import print_json, print_ledger, results, table
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle, verify=False)
    manifest = recommender.manifest
    if json:
        print_json(
            {
                **asdict(manifest),
                "items": len(recommender.ids),
                "dimensions": recommender.dimensions,
            }
        )
        return
    facts = {
        "name": manifest.name,
        "created": manifest.created,
        "data": manifest.data.name,
        "items": f"{len(recommender.ids):,}, {recommender.dimensions} dimensions",
        "trained on": "all interactions"
        if manifest.trained_on == "all"
        else "all but the held-out ones",
        "teacher": manifest.teacher,
        "further domains": ", ".join(manifest.source_domains) or "none",
        "needs": f"onnxruntime {manifest.minimum_runtime} or later",
    }
    for name, value in facts.items():
        print(f"{name:<16} {value}")
    files = table("file", "bytes", right=["bytes"])
    for name, record in manifest.files.items():
        files.add_row(name, f"{record.bytes:,}")
    results().print(files)
    print_ledger(manifest.ledger)


def _rows(recommender: "Recommender", found: "Recommendations") -> list[dict[str, Any]]:
    from pocketrec.cli.output import titles

    names = titles(recommender.catalogue, [one.item_id for one in found])
    return [
        {"item_id": one.item_id, "title": names.get(one.item_id, one.item_id), "score": one.score}
        for one in found
    ]


def _explained(
    recommender: "Recommender", found: "Recommendations", history: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows, each with the one history item that speaks most for it."""
    from pocketrec.cli.output import titles

    rows = _rows(recommender, found)
    reasons = recommender.explain_all(history, [row["item_id"] for row in rows], k=1)
    names = titles(recommender.catalogue, history)
    return [
        {**row, "because": [_reason(reason, names) for reason in of_row]}
        for row, of_row in zip(rows, reasons, strict=True)
    ]


def _reasons(
    recommender: "Recommender", history: Sequence[str], item: str, k: int
) -> list[dict[str, Any]]:
    from pocketrec.cli.output import titles

    reasons = recommender.explain(history, item, k)
    names = titles(recommender.catalogue, [reason.item_id for reason in reasons])
    return [_reason(reason, names) for reason in reasons]


def _reason(reason: "Reason", names: dict[str, str]) -> dict[str, Any]:
    title = names.get(reason.item_id, reason.item_id)
    return {"item_id": reason.item_id, "title": title, "drop": reason.drop}


def _listed(ids: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + rest
