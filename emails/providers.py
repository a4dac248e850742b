"""The email service providers: the one table of what is known of each. Everything else reads it here.

Setting names are Anymail's (its documentation, "Supported ESPs"); what each can do is what its backend and webhook view
in Anymail 15.2 do.
"""

from django.conf import settings

from emails.profile import Provider, Variable, anymail, optional

__all__ = ["PROVIDERS", "Provider", "active", "fallback", "in_use"]


PROVIDERS = {
    provider.key: provider
    for provider in (
        Provider(key="console", label="Console", backend="emails.transports.ConsoleBackend"),
        Provider(
            key="smtp",
            label="SMTP",
            backend="emails.transports.SMTPBackend",
            variables=(Variable("EMAIL_HOST", "the name of your mail server", example="smtp.example.com"),),
        ),
        anymail(
            "amazon_ses",
            "Amazon SES",
            optional("CLIENT_PARAMS", "the region in which you use SES", '{"region_name": "eu-central-1"}'),
            optional("CONFIGURATION_SET_NAME", "SES → Configuration sets: one that publishes events to SNS"),
            optional("SNS_TOPIC_ARNS", "SNS → Topics: those whose subscription may be confirmed, with commas between"),
            extra="amazon-ses",
            modules=("boto3",),
            extra_for="sending",
            webhook={
                "topics": "AMAZON_SES_SNS_TOPIC_ARNS",
                "where": "SNS → your topic → Create subscription (HTTPS), with raw message delivery off",
                "hard_at": "bounce.bounceType",
                "hard_is": frozenset({"Permanent"}),
                "listed_at": "bounce.bounceSubType",
                "listed_is": frozenset({"Suppressed", "OnAccountSuppressionList"}),
            },
        ),
        anymail(
            "brevo",
            "Brevo",
            Variable("API_KEY", "Settings → SMTP & API → API keys"),
            tracking_options=False,
            key_in="message",  # Brevo, "Idempotent requests": 30 minutes.
            key_hours=0.5,
            webhook={
                "where": "Transactional → Settings → Webhook",
                "hard_at": "event",
                "hard_is": frozenset({"hard_bounce", "invalid_email"}),
            },
        ),
        anymail(
            "mailersend",
            "MailerSend",
            Variable("API_TOKEN", "Domains → your domain → API tokens"),
            optional("SIGNING_SECRET", "Domains → your domain → Webhooks → your webhook → Signing secret"),
            metadata=False,  # Anymail raises AnymailUnsupportedFeature; our reference travels as a tag.
            webhook={
                "where": "Domains → your domain → Webhooks",
                "signed_by": ("SIGNING_SECRET",),
                "basic": False,
                "hard_at": "data.type",
                "hard_is": frozenset({"hard_bounced"}),
            },
        ),
        anymail(
            "mailgun",
            "Mailgun",
            Variable("API_KEY", "Send → Sending keys, or API security"),
            optional("SENDER_DOMAIN", "Send → Domains: where it is not the domain of the From address"),
            optional("API_URL", "for domains in the EU", "https://api.eu.mailgun.net/v3"),
            optional("WEBHOOK_SIGNING_KEY", "API security → HTTP webhook signing key"),
            webhook={
                "where": "Send → Webhooks",
                "signed_by": ("WEBHOOK_SIGNING_KEY", "API_KEY"),
                "signs_body": False,  # Mailgun, "Securing webhooks": timestamp and token alone.
                "hard_at": "event-data.severity",
                "hard_is": frozenset({"permanent"}),
                "listed_at": "event-data.reason",
                "listed_is": frozenset({"suppress-bounce", "suppress-complaint", "suppress-unsubscribe"}),
            },
        ),
        anymail(
            "mailjet",
            "Mailjet",
            Variable("API_KEY", "Account settings → API key management"),
            Variable("SECRET_KEY", "Account settings → API key management"),
            tags=1,
            webhook={
                "where": "Account settings → Event notifications",
                "hard_at": "hard_bounce",
                "hard_is": frozenset({"True", "true", "1"}),
            },
        ),
        anymail(
            "mailtrap",
            "Mailtrap",
            Variable("API_TOKEN", "Settings → API tokens"),
            optional("SANDBOX_ID", "Sandboxes → yours: to catch mail instead of sending it"),
            optional("TRACKING_SECRET", "Settings → Webhooks → your webhook → Signature secret"),
            tags=1,
            tracking_options=False,
            webhook={
                "where": "Settings → Webhooks",
                "signed_by": ("TRACKING_SECRET",),
                "hard_at": "event",
                "hard_is": frozenset({"bounce"}),
            },
        ),
        anymail(
            "mandrill",
            "Mandrill",
            Variable("API_KEY", "Settings → SMTP & API info → API keys"),
            optional("WEBHOOK_KEY", "Settings → Webhooks → your webhook → Key"),
            optional("WEBHOOK_URL", "the URL exactly as you gave it to Mandrill, where a proxy changes it"),
            webhook={
                "where": "Settings → Webhooks",
                "signed_by": ("WEBHOOK_KEY",),
                "basic": False,
                "more_types": (("delivered", "delivered"),),  # Mailchimp, "Webhook events": beside "send".
                "hard_at": "event",
                "hard_is": frozenset({"hard_bounce"}),
            },
        ),
        anymail(
            "postal",
            "Postal",
            Variable("API_KEY", "your mail server → Credentials (type API)"),
            Variable("API_URL", "the address of your Postal installation", example="https://postal.example.com"),
            optional("WEBHOOK_KEY", "`postal default-dkim-record`: what stands behind p="),
            extra="postal",
            modules=("cryptography",),
            extra_for="webhooks",
            metadata=False,
            tags=1,
            tracking_options=False,
            webhook={
                "where": "your mail server → Webhooks",
                "signed_by": ("WEBHOOK_KEY",),
                "basic": False,
                "hard_at": "event",
                "hard_is": frozenset({"MessageBounced", "MessageDeliveryFailed"}),
                "events": frozenset({"delivered", "bounced", "clicked"}),
            },
        ),
        anymail(
            "postmark",
            "Postmark",
            Variable("SERVER_TOKEN", "Servers → your server → API Tokens"),
            optional("MESSAGE_STREAM", "Servers → your server → Message Streams: where it is not the default one"),
            tags=1,
            webhook={
                "where": "Servers → your server → your stream → Webhooks",
                "hard_at": "Type",
                "hard_is": frozenset({"HardBounce", "BadEmailAddress"}),
            },
        ),
        anymail(
            "resend",
            "Resend",
            Variable("API_KEY", "API Keys"),
            optional("SIGNING_SECRET", "Webhooks → your webhook → Signing secret"),
            extra="resend",
            modules=("svix",),
            extra_for="webhooks",
            tracking_options=False,
            key_in="http",  # Resend, "Idempotency Keys": a day.
            key_hours=24,
            webhook={
                "where": "Webhooks → Add webhook",
                "signed_by": ("SIGNING_SECRET",),
                "hard_at": "data.bounce.type",
                "hard_is": frozenset({"Permanent"}),
                "names_recipient": False,
            },
        ),
        anymail(
            "scaleway",
            "Scaleway",
            Variable("SECRET_KEY", "IAM → API keys"),
            Variable("PROJECT_ID", "Project settings"),
            optional("REGION", "the region of Transactional Email", "fr-par"),
            tracking_options=False,
        ),
        anymail(
            "sendgrid",
            "SendGrid",
            Variable("API_KEY", "Settings → API Keys"),
            optional(
                "TRACKING_WEBHOOK_VERIFICATION_KEY", "Settings → Mail Settings → Event Webhook → Verification key"
            ),
            extra="sendgrid",
            modules=("cryptography",),
            extra_for="webhooks",
            webhook={
                "where": "Settings → Mail Settings → Event Webhook",
                "signed_by": ("TRACKING_WEBHOOK_VERIFICATION_KEY",),
                "hard_at": "type",
                "hard_is": frozenset({"bounce"}),
            },
        ),
        anymail(
            "sparkpost",
            "SparkPost",
            Variable("API_KEY", "Configuration → API Keys"),
            optional("API_URL", "for customers in the EU", "https://api.eu.sparkpost.com/api/v1"),
            optional("SUBACCOUNT", "Configuration: the number of yours, where you send for one"),
            tags=1,
            webhook={
                "where": "Configuration → Webhooks",
                # SparkPost, "Bounce Classification Codes": invalid recipient, no recipient.
                "hard_at": "msys.message_event.bounce_class",
                "hard_is": frozenset({"10", "30"}),
            },
        ),
        anymail(
            "unisender_go",
            "Unisender Go",
            Variable("API_KEY", "Settings → Security → API key"),
            Variable(
                "API_URL", "by the server you are on", example="https://go1.unisender.ru/ru/transactional/api/v1/"
            ),
            webhook={
                "where": "Settings → Webhooks",
                "signed_by": ("API_KEY",),
                "hard_at": "status",
                "hard_is": frozenset({"hard_bounced"}),
            },
        ),
    )
}


def active() -> Provider:
    """The provider that EMAIL_PROVIDER names. Raises KeyError for one that no check has let pass."""
    return PROVIDERS[settings.EMAILS["PROVIDER"]]


def fallback() -> Provider | None:
    """The provider that takes over where the first fails, or None."""
    return PROVIDERS.get(settings.EMAILS["FALLBACK"])


def in_use() -> list[Provider]:
    """The providers whose reports are of interest."""
    return [provider for provider in (PROVIDERS.get(settings.EMAILS["PROVIDER"]), fallback()) if provider is not None]
