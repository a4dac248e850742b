"""The pages of the second factor: proving it, setting it up, taking it away."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import factors, signins
from accounts.models import PersonEvent, User

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


class SecondFactorView(LoginRequiredMixin, TemplateView):
    """Asks who has a second factor for a code of it."""

    template_name = "registration/second_factor.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        person: Any = request.user
        device = factors.prove(person, request.POST.get("token", ""))
        if device is None:
            signins.not_proved(request, person)
            return self.render_to_response(self.get_context_data(refused=True), status=400)
        if not isinstance(device, TOTPDevice):
            PersonEvent.note(PersonEvent.Type.RECOVERY_USED, person, left=len(device.digests))
            left = _("That was a recovery code; %d are left.") % len(device.digests)
            messages.warning(request, left)
        factors.pass_gate(request, device)
        signins.proved(request, person)
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
        if person.is_verified() and request.POST.keys() & {"codes", "remove"}:
            # A browser that was left open is not enough to take the factor over.
            if factors.prove(person, request.POST.get("token", "")) is None:
                signins.not_proved(request, person)
                return self.answer(refused=True)
            if "codes" in request.POST:
                return self.answer(codes=factors.replace_recovery(person))
            factors.remove(person)
            login(request, User.objects.get(pk=person.pk), MODEL_BACKEND)
            messages.success(request, _("The second factor is removed."))
            return redirect("account")
        if factors.has_factor(person):  # Nothing is being set up, that guesses could be tried on.
            return self.answer(refused=True)
        codes = factors.confirm(request, factors.begin(request), request.POST.get("token", "").replace(" ", ""))
        return self.answer(codes=codes) if codes else self.answer(refused=True)

    def answer(self, **context: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(**context), status=400 if "refused" in context else 200)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person: Any = self.request.user
        pending = None if factors.has_factor(person) else factors.begin(self.request)
        context = {
            "title": _("Second factor"),
            "device": pending,
            "next": next_page(self.request),
            "required": settings.STAFF_2FA == "required" and person.is_staff,
        }
        return super().get_context_data(**context, **(factors.shown(pending) if pending else {}), **kwargs)


def next_page(request: HttpRequest) -> str:
    """Where to go on, on this site alone."""
    there = request.POST.get("next") or request.GET.get("next") or ""
    return there if factors.is_here(request, there) else str(reverse_lazy("account"))
