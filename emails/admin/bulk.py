"""What is done to many messages: a page counts first what will happen and what is passed over, and POST does it."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emails import control, exporting
from emails.admin.control import may
from emails.models import EmailLog, State
from emails.payload import storable

AT_ONCE = 500  # Messages; each is a transaction of its own, and the page waits for all of them.
LOOKED_AT = 10_000  # At most, to find them; and to say why others are passed over.
TO_MANY: dict[str, tuple[Any, Any]] = {  # The verb of emails/control.py: its name in the list, and what it means.
    "send_again": (
        gettext_lazy("Send again what has failed"),
        gettext_lazy("A new email with the same content, linked to the old one; what held a link gets a new one."),
    ),
    "resend": (
        gettext_lazy("Send again what has been sent or left out"),
        gettext_lazy("Who has got it will have it twice. A new email with the same content, linked to the old one."),
    ),
    "hurry": (
        gettext_lazy("Try now what waits for another attempt"),
        gettext_lazy("The next attempt is made at once."),
    ),
    "cancel": (gettext_lazy("Cancel what has not left"), gettext_lazy("It will not be sent.")),
    "believe": (
        gettext_lazy("Settle doubts: it arrived"),
        gettext_lazy("You know that the people have got it. It counts as sent from then on."),
    ),
}


class Chosen:
    """Of the messages that were chosen, the newest to which it can be done, and why not to others, with how many.

    Newest first, since of old ones no content is kept; done in the order in which they were written.
    """

    def __init__(self, request: HttpRequest, verb: str, queryset: QuerySet[EmailLog]) -> None:
        self.some: list[EmailLog] = []
        self.more = False  # Whether there are others to which it can be done.
        self.passed = Counter[str]()
        fits = Q(state__in=control.STATES[verb])
        # With what decides whether it can be done, so that a message costs no query of its own.
        resends = Prefetch("resends", EmailLog.objects.only("pk", "resend_of"))
        facts = queryset.filter(fits).defer(None).defer("text", "html").prefetch_related(resends).order_by("-pk")
        for number, email in enumerate(in_batches(facts)):
            if len(self.some) == AT_ONCE or number == LOOKED_AT:
                self.more = bool(self.some)
                break
            why = control.obstacle(email, verb) if may(request, email, verb) else _("You may not do this.")
            if why:
                self.passed[why] += 1
            else:
                self.some.append(email)
        self.some.reverse()
        others = queryset.exclude(fits).only("state", "delivery").prefetch_related(None).order_by()[: LOOKED_AT + 1]
        statuses = Counter(email.status_label for email in others)
        self.uncounted = statuses.total() > LOOKED_AT  # By their status, where all of a long log was chosen.
        if not self.uncounted:
            self.passed.update({_("Its status is “%s”.") % label: number for label, number in statuses.items()})


def in_batches(emails: QuerySet[EmailLog]) -> Iterator[EmailLog]:
    """Newest first, and read as far as they are looked at: a cursor would have PostgreSQL find all of them before."""
    batch = list(emails[:AT_ONCE])
    while batch:
        yield from batch
        batch = list(emails.filter(pk__lt=batch[-1].pk)[:AT_ONCE])


def to_many(verb: str) -> Callable[..., HttpResponse]:
    def act(admin: Any, request: HttpRequest, queryset: QuerySet[EmailLog]) -> HttpResponse:
        label, meaning = TO_MANY[verb]
        chosen = Chosen(request, verb, queryset)
        some = chosen.some
        reason = storable(request.POST.get("reason", "").strip()[:500])
        confirmed = "confirm" in request.POST
        if confirmed and some and (reason or verb == "hurry"):
            carry_out(admin, request, verb, some, reason)
            return redirect(request.get_full_path())
        context = {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "title": label,
            "meaning": meaning,
            "count": len(some),
            "some": some[:20],
            "more": len(some) - 20,
            "passed": chosen.passed.most_common(),
            "uncounted": LOOKED_AT if chosen.uncounted else 0,
            "doubts": sum(email.state == State.IN_DOUBT for email in some) if verb == "send_again" else 0,
            "too_many": AT_ONCE if chosen.more else 0,
            "needs_reason": verb != "hurry",
            "reason_missing": confirmed and bool(some),
            "action": verb,
            "selected": request.POST.getlist("_selected_action"),
            "across": request.POST.get("select_across", "0"),
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/emails/emaillog/bulk.html", context)

    act.__name__ = verb
    decorated: Callable[..., HttpResponse] = admin.action(description=TO_MANY[verb][0])(act)
    return decorated


def carry_out(admin: Any, request: HttpRequest, verb: str, some: list[EmailLog], reason: str) -> None:
    """One by one: what another member of staff, or a worker, was quicker with is passed over."""
    done, late = 0, Counter[str]()
    for email in some:
        try:
            arguments = (email, request.user) if verb == "hurry" else (email, request.user, reason)
            getattr(control, verb)(*arguments)
            done += 1
        except control.NotNow as error:
            late[str(error)] += 1
    level = messages.SUCCESS if done else messages.WARNING
    admin.message_user(request, ngettext("Done for %d email.", "Done for %d emails.", done) % done, level)
    for why, number in late.most_common(5):
        admin.message_user(request, f"{number} × {why}", messages.WARNING)


@admin.action(description=gettext_lazy("Export as CSV"))
def export(admin: Any, request: HttpRequest, queryset: QuerySet[EmailLog]) -> Any:
    """Streamed, so that a hundred thousand rows neither wait nor fill the memory; that it was done is kept."""
    count = queryset.order_by()[: exporting.MOST + 1].count()
    if "confirm" in request.POST and 0 < count <= exporting.MOST:
        filters = {name: str(value) for name, value in request.GET.items() if name != "q"}
        LogEntry.objects.create(
            user_id=int(request.user.pk or 0),
            content_type=ContentType.objects.get_for_model(EmailLog),
            object_repr=_("Exported"),
            action_flag=CHANGE,
            change_message=f"{count} {urlencode(filters, doseq=True)[:500]}".strip(),
        )
        name = f"emails-{timezone.localdate():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        content = exporting.lines(queryset.order_by("-pk"))
        return StreamingHttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": _("Export as CSV"),
        "count": count,
        "too_many": exporting.MOST if count > exporting.MOST else 0,
        "action": "export",
        "selected": request.POST.getlist("_selected_action"),
        "across": request.POST.get("select_across", "0"),
        "back": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/emails/emaillog/bulk.html", context)


ACTIONS = (*(to_many(verb) for verb in TO_MANY), export)
NEEDS = {
    "send_again": ("resend_emaillog", "control_delivery"),
    "resend": ("resend_emaillog",),
    **dict.fromkeys(("hurry", "cancel", "believe"), ("control_delivery",)),
    "export": ("export_emaillog",),
}


def offered(request: HttpRequest, known: dict[str, Any]) -> dict[str, Any]:
    """Those of the actions that this person may do to anything."""
    user: Any = request.user
    return {
        name: action
        for name, action in known.items()
        if any(user.has_perm(f"emails.{codename}") for codename in NEEDS.get(name, ()))
    }
