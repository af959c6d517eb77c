"""Errors a user can act on. Each message names the thing, what was expected, what was found and what to do."""


class PocketRecError(Exception):
    """Base of every error that PocketRec raises on purpose; the command line prints it as one line."""


class DataError(PocketRecError):
    """Ratings or item text that cannot be read as they stand."""


class BundleError(PocketRecError):
    """A bundle that is missing, altered, truncated or of another format."""


class UsageError(PocketRecError):
    """A call with wrong arguments (exit code 2 on the command line)."""


class RunError(PocketRecError):
    """A stage of a run that could not do its work."""
