"""The product's settings with a language that is written from right to left, to see that every page fits it."""

from backoffice.settings import *  # noqa: F403

LANGUAGE_CODE = "ar"
LANGUAGES = [("ar", "Arabic")]  # Whatever the browser would rather have.
