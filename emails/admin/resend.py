"""The page on which a message is sent once more: how, to which address, and why; one new message however often."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from emails import resending
from emails.addresses import LONGEST
from emails.admin.control import may
from emails.admin.sentence import in_words
from emails.models import EmailLog, State, Suppression
from emails.payload import storable

WAYS = {
    resending.SAME: gettext_lazy("The same content, as it was written then"),
    resending.ANEW: gettext_lazy("Written anew, with today’s templates and what is known of the person now"),
}
SOON = timedelta(hours=1)  # Within which a report may well still come.


class ResendForm(forms.Form):
    """What staff decide. Without the right to read bodies nobody chooses who does."""

    way = forms.ChoiceField(label=gettext_lazy("What"), widget=forms.RadioSelect, required=False)
    to = forms.EmailField(
        label=gettext_lazy("To another address"),
        max_length=LONGEST,
        required=False,
        help_text=gettext_lazy(
            "Left empty, the same content goes where it went, and what is written anew to the person’s address of now. "
            "A person’s own address is corrected on their page."
        ),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        error_messages={"required": gettext_lazy("Say why: others will read it in the timeline.")},
    )

    def __init__(self, *args: Any, ways: list[str], elsewhere: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        way: Any = self.fields["way"]
        way.choices, way.initial = [(name, WAYS[name]) for name in ways], ways[0] if ways else None
        if len(ways) == 1:
            way.widget = forms.HiddenInput()
        if not elsewhere:
            del self.fields["to"]

    def clean_reason(self) -> str:
        return storable(self.cleaned_data["reason"])


class ResendMixin(admin.ModelAdmin[EmailLog]):
    """For the log's admin."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resend_view)
        return [path("<int:pk>/resend/", view, name="emails_emaillog_resend"), *super().get_urls()]

    @method_decorator([require_http_methods(["GET", "HEAD", "POST"]), never_cache])
    def resend_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        email: EmailLog = self.found(pk)  # type: ignore[attr-defined]
        if not (self.has_view_permission(request) and may(request, email, "send_again")):
            raise PermissionDenied
        ways = resending.ways(email)
        reads = request.user.has_perm("emails.view_email_body")  # type: ignore[union-attr]
        options: dict[str, Any] = {"ways": ways, "elsewhere": reads and resending.may_go_elsewhere(email)}
        form = ResendForm(request.POST if request.method == "POST" else None, **options)
        if form.is_valid():
            given = form.cleaned_data
            try:
                new = resending.send_again(
                    *(email, request.user, given["reason"]),
                    **{"way": given["way"], "to": given.get("to", ""), "seen": request.POST.get("seen", "")},
                )
            except resending.NotNow as error:
                form.add_error(None, str(error))
                email = self.found(pk)  # type: ignore[attr-defined]
            else:
                link = format_html('<a href="{}">#{}</a>', new.get_absolute_url(), new.pk)
                self.message_user(request, format_html(_("Sent again as {}."), link), messages.SUCCESS)
                return redirect(new)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": email,
            "title": _("Send again"),
            "form": form,
            "ways": ways,
            "sentence": in_words(email),
            "warnings": warnings(email),
            "recipients": email.recipients.all(),
            "resends": email.resends.only("pk"),
        }
        return TemplateResponse(request, "admin/emails/emaillog/resend.html", context)


def warnings(email: EmailLog) -> list[str]:
    """What to think of before."""
    said = []
    if email.state == State.SKIPPED:
        said.append(_("It was left out on purpose: %(reason)s") % {"reason": _(email.error)})
    if email.delivery in {"delivered", "complained"}:
        said.append(_("It was delivered: the person will have it twice."))
    elif email.state == State.SENT and email.sent_at and timezone.now() - email.sent_at < SOON and not email.delivery:
        said.append(_("It was sent within the past hour: a report may still come, and the person may have it already."))
    elif email.state == State.IN_DOUBT:
        said.append(_("It may have arrived: look it up at the provider first. This settles the doubt as not sent."))
    for one in Suppression.objects.filter(address__in=email.recipients.values("address"), lifted_at=None):
        said.append(
            _("No more mail goes to %(address)s: %(reason)s.")
            % {"address": one.address, "reason": one.get_reason_display()}
        )
    return said
