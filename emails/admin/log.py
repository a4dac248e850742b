from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emails import reading, resending
from emails.admin import bulk, preview
from emails.admin.cells import alike, selecting
from emails.admin.control import ControlMixin, buttons, may
from emails.admin.display import badge, moment, provider_label
from emails.admin.downloads import DownloadsMixin
from emails.admin.filters import KindFilter, ProviderFilter, StatusFilter, WindowFilter
from emails.admin.page import STORY, page
from emails.admin.paging import MOST, CappedPaginator
from emails.admin.resend import ResendMixin
from emails.admin.searching import HELP, parse
from emails.admin.sentence import STUCK
from emails.models import EmailLog, Lane, Tombstone
from emails.providers import in_use
from emails.rows import counted

# What a row of the list shows.
LISTED = ("created_at", "kind", "state", "delivery", "provider", "subject", "error", "user_label")


@admin.register(EmailLog)
class EmailLogAdmin(DownloadsMixin, ControlMixin, ResendMixin):
    """The log: to be searched and read. Nobody adds, edits or deletes rows here."""

    list_display = ("status_badge", "message", "kind_name", "provider_name", "created")
    list_display_links = ("message",)
    list_filter = (StatusFilter, KindFilter, ProviderFilter, WindowFilter)
    list_per_page = 50
    paginator = CappedPaginator
    change_list_template = "admin/emails/emaillog/change_list.html"
    show_full_result_count = False
    sortable_by = ("created",)  # No index has ten million rows in the order of another column; filters do better.
    show_facets = admin.ShowFacets.NEVER  # Counting every filter reads the whole table.
    search_fields = ("subject",)
    search_help_text = HELP
    actions = bulk.ACTIONS

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """What this person may do; never Django's own deletion."""
        where = {} if action_location is None else {"action_location": action_location}  # Since Django 6.1.
        return bulk.offered(request, super().get_actions(request, **where))

    def get_queryset(self, request: HttpRequest) -> QuerySet[EmailLog]:
        return super().get_queryset(request).only(*LISTED)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[EmailLog], search_term: str
    ) -> tuple[QuerySet[EmailLog], bool]:
        """Words and keys; what was not understood is said, and left out."""
        search = parse(search_term)
        for problem in search.problems:
            self.message_user(request, problem, messages.WARNING)
        return search.apply(queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """With tabs for what one comes for, and what to do where the list can't be trusted or is empty."""
        logged = EmailLog.objects.order_by()
        late = logged.due().filter(run_at__lt=Now() - timedelta(seconds=STUCK))
        attention, waiting, stuck, heard = counted(
            logged.db,
            logged.needing_attention()[: MOST + 1],
            logged.unsettled()[: MOST + 1],
            late[:1],
            Lane.objects.order_by().filter(last_webhook_at__isnull=False)[:1],
        )
        tabs = [
            ("", _("All"), None),
            ("attention", _("Needs attention"), attention),
            ("waiting", _("In queue"), waiting),
        ]
        context = {
            "tabs": tabs,
            "tab": request.GET.get("status", ""),
            "most": MOST,
            "stuck": stuck,
            "unheard": not heard and any(provider.reports for provider in in_use()),
            "of_person": bool({"user__exact", "user__id__exact"} & request.GET.keys()),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """The filters and the person: look-ups in bodies or in the person's fields would tell what may not be read."""
        filters = {spec.parameter_name for spec in self.list_filter}  # type: ignore[union-attr]
        return lookup in filters | {"user__exact", "user__id__exact"}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: EmailLog | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: EmailLog | None = None) -> bool:
        return False

    @admin.display(description=mark_safe('<input type="checkbox" id="action-toggle">'))
    def action_checkbox(self, obj: EmailLog) -> SafeString:
        """As Django's, whose template of a form's widget takes a fifth of the page's time."""
        label = escape(selecting(get_language() or "").format(obj))
        box = f'<input type="checkbox" name="_selected_action" value="{obj.pk:d}" class="action-select"'
        return SafeString(f'{box} aria-label="{label}">')

    @alike(by=("delivery", "state"))
    @admin.display(description=_("status"))
    def status_badge(self, email: EmailLog) -> str:
        return badge(email.status, email.status_label)

    @admin.display(description=_("message"))
    def message(self, email: EmailLog) -> str:
        to = ", ".join(email.to) or email.user_label or "–"
        reason = gettext(email.error) if email.error else ""
        said = escape(email.subject or reason)
        # Else staff would look at what others have seen to.
        again = f' <span class="log-again">{escape(gettext("Sent again"))}</span>' if email.sent_again else ""
        return SafeString(f'<span class="log-to">{escape(to)}</span> <span class="log-subject">{said}</span>{again}')

    @alike(by=("kind",))
    @admin.display(description=_("kind"))
    def kind_name(self, email: EmailLog) -> str:
        return email.kind_label

    @alike(by=("provider",))
    @admin.display(description=_("provider"))
    def provider_name(self, email: EmailLog) -> str:
        return provider_label(email.provider, "–")

    @admin.display(description=_("created"), ordering="-id")
    def created(self, email: EmailLog) -> str:
        return moment(email.created_at)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        return [path("<int:pk>/preview/", view, name="emails_emaillog_preview"), *super().get_urls()]

    def found(self, pk: Any, *, content: bool = True) -> EmailLog:
        """The message by a primary key from the URL, with its content unless nobody reads it. Raises Http404."""
        emails = EmailLog.objects.prefetch_related(*STORY)
        emails = emails if content else emails.without_bodies()
        email = emails.filter(pk=pk).first() if str(pk).isdecimal() and len(str(pk)) < 19 else None
        if email is None:
            raise Http404
        return email

    @method_decorator([require_safe, never_cache])
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The message to be read, in place of a form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        bodies = request.user.has_perm("emails.view_email_body")  # type: ignore[union-attr]
        try:
            email = self.found(object_id, content=bodies)
        except Http404:
            if not (object_id.isdecimal() and len(object_id) < 19 and Tombstone.covers(int(object_id))):
                raise
            context = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Forgotten")}
            return TemplateResponse(request, "admin/emails/emaillog/forgotten.html", context, status=410)
        if bodies:
            reading.note(email, request)
        context = {
            **self.admin_site.each_context(request),
            **page(email, request, bodies=bodies),
            "buttons": buttons(request, email),
            "resendable": may(request, email, "send_again") and bool(resending.ways(email)),
            "opts": self.opts,
            "original": email,
            "title": email.kind_label,
            "subtitle": None,
            "has_view_permission": True,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/emails/emaillog/message.html", context)

    @method_decorator(require_safe)
    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        look, images = request.GET.get("look", ""), preview.asks_for_images(request)
        return preview.framed(self.read(request, pk), look, images=images)
