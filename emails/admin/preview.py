"""An email's HTML as a document of its own that can do nothing: the browser's sandbox is the boundary, not a filter."""

from django.http import HttpResponse

from emails.models import EmailLog

# `sandbox` also holds where the URL is opened without the frame: no script, no form, no origin of ours.
POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


def framed(email: EmailLog) -> HttpResponse:
    """The response for the preview frame, which alone may embed it."""
    return HttpResponse(
        email.html,
        headers={
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )
