"""An item of one's own: what the catalogue lacks, typed in."""

from kivy.app import App

from device_app.language import tr
from device_app.screens.page import OverPage
from device_app.views import Card
from pocketrec.errors import PocketRecError


class AddingPage(OverPage):
    def __init__(self, title: str = "") -> None:
        super().__init__(title=tr("Add a title"))
        self.ids.name.text = title

    def load(self) -> None:
        self.present(self.view)

    def focus(self) -> None:
        self.ids.name.focus = True

    def add(self) -> None:
        """Add what is typed; its page takes the place of this one."""
        app = App.get_running_app()
        title, description = self.ids.name.text, self.ids.description.text

        def done(card: Card) -> None:
            app.back()
            app.show_item(card.item_id)
            app.say(tr("Added {}").format(card.title))

        def failed(error: PocketRecError) -> None:
            self.ids.error.text = str(error)

        app.ask(lambda session: session.add_item(title, description), done, failed)
