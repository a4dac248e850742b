from typing import Any

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm, PasswordResetForm, UserChangeForm, UsernameField
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.tasks import send_password_reset
from emails.sealing import locks
from emails.tasks import enqueued


class DistinctPersonMixin(forms.ModelForm[User]):
    """Refuses names and addresses that differ from another person's in nothing but case, and says whose they are."""

    def clean_username(self) -> Any:
        username = self.cleaned_data.get("username")
        if username and self.others(username__iexact=username).exists():
            raise ValidationError(self.instance.unique_error_message(User, ("username",)))
        return username

    def clean_email(self) -> str:
        email = User.objects.normalize_email(self.cleaned_data.get("email"))
        other = self.others(email__iexact=email).first()
        if other is not None:
            raise ValidationError(
                _("%(username)s already has this email address."), params={"username": other.username}
            )
        return email

    def others(self, **lookup: Any) -> Any:
        return User.objects.filter(**lookup).exclude(pk=self.instance.pk)


class PersonAddForm(DistinctPersonMixin, BaseUserCreationForm):  # type: ignore[type-arg]
    """Creates a person; without a password the person can't sign in with one until it is set."""

    send_invitation = forms.BooleanField(
        label=_("Send invitation"),
        required=False,
        initial=True,
        help_text=_("Mails a link to set a password. Without effect where you choose the password here."),
    )

    class Meta:
        model = User
        fields = ("username", "email", "first_name", "last_name", "language", "is_staff", "groups")
        field_classes = {"username": UsernameField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].required = self.fields["password2"].required = False

    def clean(self) -> Any:
        cleaned = super().clean()
        if bool(self.cleaned_data.get("password1")) != bool(self.cleaned_data.get("password2")):
            self.add_error("password2", _("Enter the password in both fields, or in none for a person without one."))
        return cleaned

    def set_password_and_save(self, user: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.cleaned_data.get("password1"):
            user.set_unusable_password()
            if kwargs.get("commit", True):
                user.save()
            return user
        return super().set_password_and_save(user, *args, **kwargs)  # type: ignore[misc]


class PersonChangeForm(DistinctPersonMixin, UserChangeForm):  # type: ignore[type-arg]
    """Edits a person. No part of the password's hash is shown, unlike in Django's own form."""

    password = None  # type: ignore[assignment]

    class Meta:
        model = User
        fields = "__all__"
        field_classes = {"username": UsernameField}


class ForgottenPasswordForm(PasswordResetForm):
    """Hands the address to a task. Whether anybody has it can be told neither by the answer nor by its time."""

    taken = True  # Whether somebody will see to it: not where the broker of tasks is gone.

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.taken = enqueued(send_password_reset, locks().encrypt(self.cleaned_data["email"].encode()).decode())
