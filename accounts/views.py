"""The pages under /accounts/: a new password, an invitation, one's own account. What they say gives nothing away."""

from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth import logout, user_login_failed, views
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView

from accounts import factors
from accounts.forms import ForgottenPasswordForm
from accounts.models import PersonEvent, User
from accounts.tokens import LinkToken, invitation_token, password_reset_token
from emails.cause import caused_by

LINK = "_link"  # In the session of who has followed one: enough to know it again, and not what opens it.


class ForgottenPasswordView(views.PasswordResetView):
    """The same answer, as quickly, for an address that is known and for one that is not: a task does the rest."""

    form_class = ForgottenPasswordForm
    template_name = "registration/forgotten.html"

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        if form.taken:
            return response
        form.add_error(None, _("This can’t be done right now. Please try again in a few minutes."))
        return self.form_invalid(form)

    title = gettext_lazy("Forgotten your password?")


class ForgottenPasswordDoneView(views.PasswordResetDoneView):
    template_name = "registration/forgotten_done.html"


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class NewPasswordView(views.PasswordResetConfirmView):
    """The link from a mail. Looking at it uses nothing up: mail scanners do. Only the new password does."""

    template_name = "registration/new_password.html"
    success_url = reverse_lazy("password_reset_complete")
    token_generator: LinkToken = password_reset_token
    title = gettext_lazy("Set a new password")
    trace = PersonEvent.Type.RESET_USED

    @method_decorator([sensitive_post_parameters(), never_cache])
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Django's own, which keeps the token itself in the session: in the database, for whoever reads it there."""
        self.validlink, self.user = False, self.get_user(kwargs["uidb64"])
        token = kwargs["token"]
        if token == self.reset_url_token:
            self.validlink = self.opens(self.user)
            if self.validlink:
                return super(views.PasswordResetConfirmView, self).dispatch(request, *args, **kwargs)
        elif self.token_generator.check_token(self.user, token):
            request.session[LINK] = self.token_generator.kept(token)
            return HttpResponseRedirect(request.path.replace(token, self.reset_url_token))
        return self.render_to_response(self.get_context_data())

    def opens(self, person: Any) -> bool:
        """Whether the link that was followed in this session is the person's, and still good."""
        token = self.token_generator.again(person, self.request.session.get(LINK, "")) if person else ""
        return self.token_generator.check_token(person, token)

    def get_user(self, uidb64: str) -> Any:
        try:
            return super().get_user(uidb64)
        except OverflowError:  # A number that no key of the database can be.
            return None

    def form_valid(self, form: Any) -> HttpResponse:
        # Who holds the link is the person: the email about the new password says so.
        with (
            caused_by(f"POST {self.request.path.partition(self.kwargs['uidb64'])[0]}", self.user),
            transaction.atomic(),
        ):
            # Meanwhile the account may have been disabled or signed out everywhere, or the link used in another window.
            form.user = self.user = User.objects.select_for_update(no_key=True).filter(pk=form.user.pk).first()
            self.validlink = self.opens(self.user)
            if not self.validlink:
                return self.render_to_response(self.get_context_data())
            User.objects.filter(pk=form.user.pk).update(invited_at=None)
            form.save()
            PersonEvent.note(self.trace, form.user)
        del self.request.session[LINK]
        return super(views.PasswordResetConfirmView, self).form_valid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        dead = {} if self.validlink else {"title": _("This link does not work any more")}
        return super().get_context_data(**kwargs) | dead


class InvitationView(NewPasswordView):
    token_generator = invitation_token
    title = gettext_lazy("Welcome: set your password")
    trace = PersonEvent.Type.INVITATION_ACCEPTED
    extra_context = {"invitation": True}


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class PasswordChangeView(views.PasswordChangeView):
    """One's own password, by the old one: wrong ones count as failed sign-ins, and end the session like those."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user: Any = request.user
        if not AxesProxyHandler.is_allowed(request, {"username": user.get_username()}):
            logout(request)
            return redirect("login")
        return super().post(request, *args, **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        if form.has_error("old_password", "password_incorrect"):
            credentials = {"username": form.user.get_username()}
            user_login_failed.send(sender=__name__, credentials=credentials, request=self.request)
        return super().form_invalid(form)

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            held = User.objects.select_for_update(no_key=True).filter(pk=form.user.pk).first()
            # While the new password was hashed, staff may have disabled the account, or signed it out everywhere.
            if held is None or held.get_session_auth_hash() != form.user.get_session_auth_hash() or not held.is_active:
                logout(self.request)
                return redirect("login")
            form.user = held
            return super().form_valid(form)


class AccountView(LoginRequiredMixin, TemplateView):
    """What everybody who can sign in finds: who they are here, their password, their second factor."""

    template_name = "registration/account.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(has_factor=factors.has_factor(self.request.user), title=_("Your account"))
