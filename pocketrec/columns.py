"""Column names of the one schema that every data set is read into."""

from typing import Final

USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
RATING: Final = "rating"
TIMESTAMP: Final = "timestamp"
POSITION: Final = "position"

TITLE: Final = "title"
DESCRIPTION: Final = "description"
CATEGORIES: Final = "categories"
CREATOR: Final = "creator"
YEAR: Final = "year"

ITEM_TEXT: Final = (TITLE, DESCRIPTION, CATEGORIES, CREATOR)
