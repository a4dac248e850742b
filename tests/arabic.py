"""The product's settings with a language that is written from right to left, to see that every page fits it."""

from django.utils.translation import gettext_lazy

from backoffice.settings import *  # noqa: F403

LANGUAGE_CODE = "ar"
LANGUAGES = [("ar", gettext_lazy("Arabic"))]  # Whatever the browser would rather have.
