import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from backoffice.refusing import refuse_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

try:
    django.setup(set_prefix=False)
except ImproperlyConfigured as error:  # One line for the operator instead of a traceback.
    sys.exit(f"Configuration error: {error}")

refuse_errors()
application = get_wsgi_application()
