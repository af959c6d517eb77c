"""The one template that turns an item's fields into the text that teacher and student read."""


def item_text(
    title: str,
    description: str = "",
    categories: str = "",
    creator: str = "",
    year: int | None = None,
) -> str:
    """``Title (year) by creator. Categories. Description``, absent fields left out.

    The most telling fields come first, because encoders cut long texts at the end.
    """
    head = title.strip()
    if year is not None and str(year) not in head:
        head = f"{head} ({year})"
    if creator.strip() and creator.strip() not in head:
        head = f"{head} by {creator.strip()}"
    parts = [head, categories.strip(), description.strip()]
    return ". ".join(part.rstrip(".") for part in parts if part)
