"""A history of another place, to look over before anything of it is written."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kivy.app import App
from kivy.clock import Clock
from kivy.properties import NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from device_app.events import Change, Kind, NewEvent
from device_app.language import mark, tr, trn
from device_app.presentation import facts, shown_title
from device_app.screens.files import FilesPage
from device_app.screens.page import OverPage
from device_app.widgets.basics import Chip, TextLine
from device_app.widgets.controls import SwitchRow
from device_app.widgets.lines import Fact
from pocketrec.errors import PocketRecError

if TYPE_CHECKING:
    from device_app.importers.matching import Preview, Unsure
    from device_app.importers.movielens import ManyPeopleError
    from device_app.importers.plain import Columns, UnknownColumnsError
    from device_app.importers.rows import Imported
    from device_app.session import Session

ENDINGS: Final = (".csv", ".json", ".zip")

QUESTIONS: Final = 20
"""How many unsure rows are asked about at once: each takes a few widgets."""

UNMATCHED: Final = 12
"""How many rows of no item are named."""

COLUMNS: Final = 30
"""How many columns there are to choose from."""

BECOMES: Final[dict[Kind, str]] = {
    "like": mark("Liked"),
    "dislike": mark("Not for me"),
    "seen": mark("Already seen"),
    "save": mark("Saved for later"),
    "hide": mark("Hidden"),
}


def choose_history() -> None:
    """Let the user choose a file, which is then looked over."""
    app = App.get_running_app()
    app.open_page(
        FilesPage(tr("Choose a history"), _is_history, lambda path: app.open_page(ImportPage(path)))
    )


class CandidateRow(SwitchRow):
    """An item that an unsure row may mean; on where the row is taken for it."""

    row = ObjectProperty(None)
    item = ObjectProperty(None)
    page = ObjectProperty(None)


class Question(BoxLayout):
    """What an unsure row says; its candidates are put below."""

    said = StringProperty()


class ColumnChip(Chip):
    """A column of the file; without a name, none of them."""

    column = StringProperty()
    choice = ObjectProperty(None)


class TitleChip(ColumnChip):
    pass


class RatingChip(ColumnChip):
    pass


class ColumnChoice(BoxLayout):
    """Asks which columns of a table hold the titles and the ratings.

    Attributes:
        titles: the column that was chosen; empty before.
        ratings: the same; empty where none holds ratings.
        page: what reads the file by them.
    """

    titles = StringProperty()
    ratings = StringProperty()
    page = ObjectProperty(None)

    def __init__(self, error: "UnknownColumnsError", page: "ImportPage") -> None:
        self._guess = error.guess
        super().__init__(page=page, ratings=error.guess.get("rating") or "")
        for name in [name for name in dict.fromkeys(error.header) if name][:COLUMNS]:
            self.ids.titles.add_widget(TitleChip(column=name, choice=self))
            self.ids.ratings.add_widget(RatingChip(column=name, choice=self))
        self.ids.ratings.add_widget(RatingChip(choice=self))

    def choose(self) -> None:
        self.page.read_by({**self._guess, "title": self.titles, "rating": self.ratings or None})


class PersonChoice(BoxLayout):
    """Asks whose ratings to read of a file of several people.

    Attributes:
        people: how many.
        page: what reads the file then.
    """

    people = NumericProperty()
    page = ObjectProperty(None)

    def __init__(self, error: "ManyPeopleError", page: "ImportPage") -> None:
        self._users = error.users
        super().__init__(page=page, people=len(error.users))

    def choose(self) -> None:
        user = self.ids.user.text.strip()
        if user in self._users:
            self.page.read_of(user)
        else:
            self.ids.error.text = (
                tr("The file has no userId {}.").format(user)
                if user
                else tr("Give the userId of your ratings.")
            )


class ImportPage(OverPage):
    """What a file would bring in, and the rows that the user is asked about.

    Attributes:
        name: of the file.
        unreadable: a word on the rows that could not be read.
        total: how many events would be written.
        left: how many rows that mean an item would write none.
        waiting: how many unsure rows are not shown yet.
        unmatched: how many rows mean no item and are not named.
    """

    name = StringProperty()
    unreadable = StringProperty()
    total = NumericProperty(0)
    left = NumericProperty(0)
    waiting = NumericProperty(0)
    unmatched = NumericProperty(0)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: Columns | None = None
        self._user: str | None = None
        self._preview: Preview | None = None
        self._candidates: list[CandidateRow] = []
        self._is_importing = False
        super().__init__(title=tr("Bring in a history"), name=path.name)

    def load(self) -> None:
        if self._preview is not None:  # what was chosen stays
            return
        columns, user = self._columns, self._user
        self.present(self.skeleton)

        def read(session: "Session") -> "tuple[Preview, tuple[NewEvent, ...]]":
            preview = session.preview(self._path, columns=columns, user=user)
            return preview, preview.events

        self.ask(read, lambda answer: self._show(*answer), self._failed)

    def read_by(self, columns: "Columns") -> None:
        """Read the file anew, now that its columns are known."""
        self._columns = columns
        self.load()

    def read_of(self, user: str) -> None:
        """Read the file anew, now that it is known whose ratings are meant."""
        self._user = user
        self.load()

    def choose(self, chosen: CandidateRow) -> None:
        """Take a row for a candidate, or for none where it was taken for this one."""
        preview, row, item = self._preview, chosen.row, chosen.item

        def work(_: "Session") -> tuple[NewEvent, ...]:
            if preview.accepted.get(row) is item:
                preview.decline(row)
            else:
                preview.accept(row, item)
            return preview.events

        def done(events: tuple[NewEvent, ...]) -> None:
            for one in self._candidates:
                one.active = preview.accepted.get(one.row) is one.item
            self._count(events)

        App.get_running_app().ask(work, done)

    def ask_more(self) -> None:
        """Show the next unsure rows."""
        start = len(self.ids.questions.children)
        first = len(self._candidates)
        for unsure in self._preview.unsure[start : start + QUESTIONS]:
            self.ids.questions.add_widget(self._question(unsure))
        self.waiting = len(self._preview.unsure) - len(self.ids.questions.children)
        focus = App.get_running_app().focus
        if start and focus.is_shown:
            Clock.schedule_once(lambda _: focus.on(self._candidates[first]), 0)

    def bring_in(self) -> None:
        """Write it all, at once; once."""
        if self._is_importing:
            return
        self._is_importing = True
        app = App.get_running_app()

        def done(change: Change) -> None:
            app.go("for_you")
            if change:
                app.changes.say(change, _imported(len(change.added), self.total))
            else:
                app.say(tr("All of it was there already"))

        def failed(error: PocketRecError) -> None:
            self._is_importing = False
            app.report(error)

        app.ask(lambda session: session.import_history(self._preview), done, failed)

    def _failed(self, error: PocketRecError) -> None:
        # Imported here: by now the worker has loaded what it needs.
        from device_app.importers.movielens import ManyPeopleError
        from device_app.importers.plain import UnknownColumnsError

        if isinstance(error, UnknownColumnsError):
            self.present(ColumnChoice(error, self))
        elif isinstance(error, ManyPeopleError):
            self.present(PersonChoice(error, self))
        else:
            self.present_error(error, self.load)

    def _show(self, preview: "Preview", events: tuple[NewEvent, ...]) -> None:
        self._preview = preview
        history, ids = preview.history, self.ids
        self.subtitle = f"{history.format}  ·  {_rows(len(history.rows))}"
        self.unreadable = str(history.unreadable) if history.unreadable else ""
        for name, rows in (
            (tr("Matched"), preview.matched),
            (tr("Unsure"), preview.unsure),
            (tr("Not in this catalogue"), preview.unmatched),
        ):
            ids.found.add_widget(Fact(name=name, value=f"{len(rows):,}"))
        for row in preview.unmatched[:UNMATCHED]:
            ids.unmatched.add_widget(UnmatchedLine(text=_name(row)))
        self.unmatched = max(0, len(preview.unmatched) - UNMATCHED)
        self.ask_more()
        for rows, section in ((preview.unsure, ids.unsure), (preview.unmatched, ids.lacking)):
            if not rows:
                ids.right.remove_widget(section.__self__)
        self._count(events)
        self.present(self.view)

    def _count(self, events: tuple[NewEvent, ...]) -> None:
        counts = Counter(event.kind for event in events)
        self.total = len(events)
        self.left = len(self._preview.matched) + len(self._preview.accepted) - self.total
        self.ids.becomes.clear_widgets()
        for kind, name in BECOMES.items():
            if counts[kind]:
                self.ids.becomes.add_widget(Fact(name=tr(name), value=f"{counts[kind]:,}"))

    def _question(self, unsure: "Unsure") -> Question:
        kind = self._preview.kind(unsure.row)
        said = tr(BECOMES[kind]).lower() if kind else tr("rated in between")
        question = Question(said=f"{_name(unsure.row)}  ·  {said}")
        for item in unsure.candidates:
            candidate = CandidateRow(
                title=shown_title(item), note=facts(item), row=unsure.row, item=item, page=self
            )
            self._candidates.append(candidate)
            question.add_widget(candidate)
        return question


class UnmatchedLine(TextLine):
    """A row of no item of the catalogue."""


def _is_history(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()


def _rows(count: int) -> str:
    return trn("{:,} row", "{:,} rows", count).format(count)


def _name(row: "Imported") -> str:
    title = row.title or row.item_id or ""
    return f"{title} ({row.year})" if row.year is not None else title


def _imported(added: int, total: int) -> str:
    if added == total:
        return tr("Imported {:,}").format(added)
    said = tr("Imported {:,}; the other {:,} were known already")
    return said.format(added, total - added)
