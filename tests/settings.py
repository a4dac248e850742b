"""The product's settings under an environment of the tests' own, whatever .env the developer has."""

import os

os.environ |= {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": "only-for-tests",
    "DEBUG": "true",
    "SITE_URL": "https://backoffice.example.com",
    "DEFAULT_FROM_EMAIL": "Backoffice <backoffice@example.com>",
    "EMAIL_PROVIDER": "console",
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", "sqlite:///:memory:"),
    "TASK_BACKEND": "db",
}

from backoffice.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECURE_SSL_REDIRECT = False
WHITENOISE_AUTOREFRESH = True  # There are no collected files in a test.
