"""Every setting, from the environment alone. `.env.example` explains each variable; a bad value stops the start."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
import django_stubs_ext
from django.utils.translation import gettext_lazy as _

from backoffice.env import Env, malformed
from emails.providers import PROVIDERS

django_stubs_ext.monkeypatch()  # Lets code say ModelAdmin[EmailLog] for the type checker's sake.

BASE_DIR, DJANGO_6 = Path(__file__).resolve().parent.parent, django.VERSION >= (6, 0)
env = Env.load(Path(os.environ.get("ENV_FILE") or BASE_DIR / ".env"))

# Security ------------------------------------------------------------------------------------------------------------
DEBUG = env.boolean("DEBUG", default=False)
SECRET_KEY = env.text(
    "SECRET_KEY",
    shape="a long random text that nobody else knows",
    example="the output of: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
)
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS", default=[], example="the-key-before-this-one")
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", default=LOCAL_HOSTS if DEBUG else None, example="backoffice.example.com")
SITE_URL = env.url(
    "SITE_URL",
    default=f"http://127.0.0.1:{env.integer('PORT', default=8000, most=65535)}" if DEBUG else None,
    example="https://backoffice.example.com",
)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
SECURE = SITE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SECURE_SSL_REDIRECT = SECURE
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_REFERRER_POLICY = "same-origin"
if BEHIND_PROXY := env.boolean("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
POLICY = {
    "default-src": ["'self'"],
    # The forms of Django 5.2's admin carry styles of their own; scripts nowhere do.
    "style-src": ["'self'", *(["'unsafe-inline'"] if not DJANGO_6 else [])],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}
SECURE_CSP, CONTENT_SECURITY_POLICY = POLICY, {"DIRECTIVES": POLICY}  # Django 6's own, and django-csp's.
CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware" if DJANGO_6 else "csp.middleware.CSPMiddleware"

# Application ---------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "backoffice.apps.BackofficeConfig",
    "accounts.apps.AccountsConfig",
    "emails.apps.EmailsConfig",
    "backoffice.apps.BackofficeAdminConfig",
    *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "messages")),
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "anymail",
    *("axes", "django_otp", "django_otp.plugins.otp_totp", "import_export"),
    *(["csp", "django_tasks"] if not DJANGO_6 else []),
    "django_tasks_db",
]
MIDDLEWARE = [
    "backoffice.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    CSP,
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "emails.middleware.CauseMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "backoffice.zones.ZoneMiddleware",
    *(f"accounts.middleware.{name}Middleware" for name in ("Idle", "SecondFactor")),
    "axes.middleware.AxesMiddleware",
    "backoffice.middleware.OddValuesMiddleware",
]
ROOT_URLCONF = "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {"default": env.database("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People --------------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
# Whether staff prove who they are by a second factor: off, to those who have set one up, or to all.
STAFF_2FA = env.choice("STAFF_2FA", ["off", "optional", "required"], default="optional")
OTP_TOTP_ISSUER = "Backoffice"
# A session ends after this time without a request, and with every new password.
SESSION_COOKIE_AGE = 60 * env.integer("SESSION_IDLE_MINUTES", default=60, most=60 * 24 * 30)
PASSWORD_RESET_TIMEOUT = 3600 * env.integer("PASSWORD_RESET_HOURS", default=24, most=24 * 30)
INVITATION_TIMEOUT = 24 * 3600 * env.integer("INVITATION_DAYS", default=7, most=365)
# Failed sign-ins, per account and per address of the network, until both have to wait (accounts/throttling.py).
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # Nobody keeps another locked out by going on.
AXES_RESET_ON_SUCCESS = False  # accounts/signins.py resets less: one's own failures alone.
AXES_LOCKOUT_PARAMETERS = "accounts.throttling.counted_by"
AXES_USERNAME_CALLABLE = "accounts.throttling.counted_name"
AXES_CLIENT_IP_CALLABLE = "emails.middleware.client_address"
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_HTTP_RESPONSE_CODE = 429
AXES_DISABLE_ACCESS_LOG = True  # The person's timeline has it.
AXES_ENABLE_ADMIN = AXES_VERBOSE = False

# Language and time ---------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.time_zone("TIME_ZONE", default="UTC")
USE_TZ = True

# Static files --------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static-collected"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}

# Email ---------------------------------------------------------------------------------------------------------------
# What is wrong with a provider is told by the checks (emails/checks.py), which know where its values are found.
PROVIDER = (
    env.text(
        "EMAIL_PROVIDER",
        default="console" if DEBUG else None,
        shape=f"one of {', '.join(key for key in PROVIDERS if key != 'console')}",
        example="postmark",
    )
    .strip()
    .lower()
)
FALLBACK_PROVIDER = env.text("EMAIL_FALLBACK_PROVIDER", default="").strip().lower()
DEFAULT_FROM_EMAIL = env.sender("DEFAULT_FROM_EMAIL", default="Backoffice <backoffice@localhost>" if DEBUG else None)
SERVER_EMAIL = env.sender("SERVER_EMAIL", default=DEFAULT_FROM_EMAIL)
EMAIL_TIMEOUT_SECONDS = env.integer("EMAIL_TIMEOUT", default=30, most=600)
ANYMAIL: dict[str, Any] = {
    "REQUESTS_TIMEOUT": EMAIL_TIMEOUT_SECONDS,
    **{name.removeprefix("ANYMAIL_"): value for name, value in env.prefixed(("ANYMAIL_",)).items()},
    **env.prefixed(tuple(provider.prefix for provider in PROVIDERS.values() if provider.prefix)),
}
SMTP_OPTIONS = {
    "host": env.text("EMAIL_HOST", default=""),
    "port": env.integer("EMAIL_PORT", default=25, most=65535),
    "username": env.text("EMAIL_HOST_USER", default=""),
    "password": env.text("EMAIL_HOST_PASSWORD", default=""),
    "use_tls": env.boolean("EMAIL_USE_TLS", default=False),
    "use_ssl": env.boolean("EMAIL_USE_SSL", default=False),
    "timeout": EMAIL_TIMEOUT_SECONDS,
}
if SMTP_OPTIONS["use_tls"] and SMTP_OPTIONS["use_ssl"]:
    raise malformed("EMAIL_USE_TLS", "false where EMAIL_USE_SSL is true (choose one)", "false")
EMAILS: dict[str, Any] = {
    "PROVIDER": PROVIDER,
    "FALLBACK": FALLBACK_PROVIDER,
    "OPTIONS": SMTP_OPTIONS,
    # For staging: everything goes to this address instead.
    "REDIRECT_TO": env.address("EMAIL_REDIRECT_TO"),
    # Regular expressions, beside our own, for secrets in mail that other code writes; group 1 is the secret.
    "SECRET_PATTERNS": env.patterns("EMAIL_SECRET_PATTERNS"),
    "REDIRECT_CONFIRMED": env.boolean("EMAIL_REDIRECT_CONFIRMED", default=False),
    "CONCURRENCY": env.integer("EMAIL_CONCURRENCY", default=8, most=256),
    "RATE_LIMIT": env.number("EMAIL_RATE_LIMIT", default=None, least=0.01, most=10_000),
    "MAX_ATTEMPTS": env.integer("EMAIL_MAX_ATTEMPTS", default=12, most=100),
    "MAX_AGE": timedelta(hours=env.integer("EMAIL_MAX_AGE_HOURS", default=24, most=24 * 365)),
    # A whole call, whose time-out is per read: a little longer than the provider may be silent.
    "DEADLINE": EMAIL_TIMEOUT_SECONDS + 3.0,
    "BODY_RETENTION": timedelta(days=env.integer("EMAIL_BODY_RETENTION_DAYS", default=90, most=36_500)),
    "LOG_RETENTION": timedelta(days=env.integer("EMAIL_LOG_RETENTION_DAYS", default=400, most=36_500)),
    "LEASE": timedelta(seconds=env.integer("EMAIL_LEASE_SECONDS", default=60, least=5, most=3600)),
}
# Every message of Django's own mail API is recorded first; emails/delivery.py alone talks to the provider.
RECORDER = "emails.backend.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": RECORDER}}
else:
    EMAIL_BACKEND = RECORDER

# Tasks ---------------------------------------------------------------------------------------------------------------
TASK_PACKAGE = "django.tasks" if DJANGO_6 else "django_tasks"
TASK_BACKENDS = {
    "immediate": f"{TASK_PACKAGE}.backends.immediate.ImmediateBackend",
    "db": "backoffice.tasks.TransactionalDatabaseBackend",
    "celery": "backoffice.celery.CeleryBackend",
}
TASK_BACKEND = env.choice("TASK_BACKEND", list(TASK_BACKENDS), default="db")
TASKS = {"default": {"BACKEND": TASK_BACKENDS[TASK_BACKEND], "QUEUES": []}}
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", required=TASK_BACKEND == "celery")
# A task is done when it has ended, and nobody hoards tasks that another machine could do.
CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_PUBLISH_RETRY = False  # A click does not wait for a broker that is gone: the next sweep finds it.
CELERY_BROKER_CONNECTION_TIMEOUT = 1.0
REDIS = {"visibility_timeout": 600, "socket_connect_timeout": 1.0, "socket_timeout": 5.0}
CELERY_BROKER_TRANSPORT_OPTIONS = REDIS if CELERY_BROKER_URL.startswith("redis") else {}

# Logs ----------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "filters": {"masking": {"()": "backoffice.masking.MaskingFilter"}},
    "loggers": {
        **{name: {"handlers": ["console"], "level": "INFO"} for name in ("accounts", "backoffice", "emails")},
        **{name: {"filters": ["masking"]} for name in ("django.request", "django.server", "django.security.csrf")},
    },
}
DEFAULT_EXCEPTION_REPORTER = "backoffice.masking.MaskingReporter"
