import os
import sys

import django
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

try:
    django.setup(set_prefix=False)
except ImproperlyConfigured as error:  # One line for the operator instead of a traceback.
    sys.exit(f"Configuration error: {error}")

# A web server runs no checks by itself; one that would take forged reports, or lose mail, must not start.
for found in checks.run_checks(tags=["emails"]):
    if found.is_serious() and not found.is_silenced():
        sys.exit(f"Configuration error: {found.id}: {found.msg} {found.hint}")

application = get_wsgi_application()
