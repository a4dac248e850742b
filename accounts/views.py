"""The pages under /accounts/: a new password, an invitation, one's own account. What they say gives nothing away."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login, views
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import factors
from accounts.forms import ForgottenPasswordForm
from accounts.models import PersonEvent, User
from accounts.tokens import invitation_token, password_reset_token
from emails.cause import caused_by

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


class ForgottenPasswordView(views.PasswordResetView):
    """The same answer, as quickly, for an address that is known and for one that is not: a task does the rest."""

    form_class = ForgottenPasswordForm
    template_name = "registration/forgotten.html"
    title = gettext_lazy("Forgotten your password?")


class ForgottenPasswordDoneView(views.PasswordResetDoneView):
    template_name = "registration/forgotten_done.html"


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class NewPasswordView(views.PasswordResetConfirmView):
    """The link from a mail. Looking at it uses nothing up: mail scanners do. Only the new password does."""

    template_name = "registration/new_password.html"
    success_url = reverse_lazy("password_reset_complete")
    token_generator: PasswordResetTokenGenerator = password_reset_token
    title = gettext_lazy("Set a new password")
    trace = PersonEvent.Type.RESET_USED

    def get_user(self, uidb64: str) -> Any:
        try:
            return super().get_user(uidb64)
        except OverflowError:  # A number that no key of the database can be.
            return None

    def form_valid(self, form: Any) -> HttpResponse:
        # Who holds the link is the person: the email about the new password says so.
        with caused_by(f"POST {self.request.path.partition(self.kwargs['uidb64'])[0]}", self.user):
            person: Any = self.user
            User.objects.filter(pk=person.pk).update(invited_at=None)
            person.invited_at = None
            response = super().form_valid(form)
            PersonEvent.note(self.trace, self.user)
        return response


class InvitationView(NewPasswordView):
    token_generator = invitation_token
    title = gettext_lazy("Welcome: set your password")
    trace = PersonEvent.Type.INVITATION_ACCEPTED


class AccountView(LoginRequiredMixin, TemplateView):
    """What everybody who can sign in finds: who they are here, their password, their second factor."""

    template_name = "registration/account.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(has_factor=factors.has_factor(self.request.user), title=_("Your account"))


class SecondFactorView(LoginRequiredMixin, TemplateView):
    """Asks who has a second factor for a code of it."""

    template_name = "registration/second_factor.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        person: Any = request.user
        device = factors.prove(person, request.POST.get("token", ""))
        if device is None:
            PersonEvent.note(PersonEvent.Type.FACTOR_FAILED, person)
            return self.render_to_response(self.get_context_data(refused=True), status=400)
        if not isinstance(device, TOTPDevice):
            PersonEvent.note(PersonEvent.Type.RECOVERY_USED, person, left=len(device.digests))
            left = _("That was a recovery code; %d are left.") % len(device.digests)
            messages.warning(request, left)
        factors.pass_gate(request, device)
        return redirect(next_page(request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(title=_("Second factor"), next=next_page(self.request), **kwargs)


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SecondFactorSetupView(LoginRequiredMixin, TemplateView):
    """Sets a second factor up, shows recovery codes once, and takes the factor away again."""

    template_name = "registration/second_factor_setup.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        user: Any = request.user
        if user.is_authenticated and not user.is_verified() and factors.has_factor(user):
            return redirect("second_factor")  # Who has one proves it before anything about it changes.
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        person: Any = request.user
        verified = person.is_verified()
        if verified and "codes" in request.POST:
            return self.answer(codes=factors.renew_recovery(person))
        if verified and "remove" in request.POST:
            if factors.prove(person, request.POST.get("token", "")) is None:
                return self.answer(refused=True)
            factors.remove(person)
            login(request, User.objects.get(pk=person.pk), MODEL_BACKEND)
            messages.success(request, _("The second factor is removed."))
            return redirect("account")
        codes = factors.confirm(request, factors.begin(person), request.POST.get("token", "").replace(" ", ""))
        return self.answer(codes=codes) if codes else self.answer(refused=True)

    def answer(self, **context: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(**context), status=400 if "refused" in context else 200)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person: Any = self.request.user
        pending = None if factors.has_factor(person) else factors.begin(person)
        context = {"title": _("Second factor"), "device": pending, "next": next_page(self.request)}
        return super().get_context_data(**context, **(factors.shown(pending) if pending else {}), **kwargs)


def next_page(request: HttpRequest) -> str:
    """Where to go on, on this site alone."""
    there = request.POST.get("next") or request.GET.get("next") or ""
    return there if factors.is_here(request, there) else str(reverse_lazy("account"))
