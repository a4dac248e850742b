from django.contrib.auth import views as auth
from django.urls import path
from django.utils.translation import gettext_lazy

from accounts import factor_views, views

SIGN_IN = auth.LoginView.as_view(redirect_authenticated_user=True, extra_context={"title": gettext_lazy("Sign in")})
DONE = auth.PasswordResetCompleteView.as_view(title=gettext_lazy("Your password is set"))

urlpatterns = [
    path("", views.AccountView.as_view(), name="account"),
    path("login/", SIGN_IN, name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password_change/", views.PasswordChangeView.as_view(), name="password_change"),
    path("password_change/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("password_reset/", views.ForgottenPasswordView.as_view(), name="password_reset"),
    path("password_reset/", views.ForgottenPasswordView.as_view(), name="admin_password_reset"),
    path("password_reset/done/", views.ForgottenPasswordDoneView.as_view(), name="password_reset_done"),
    path("reset/<uidb64>/<token>/", views.NewPasswordView.as_view(), name="password_reset_confirm"),
    path("reset/done/", DONE, name="password_reset_complete"),
    path("invitation/<uidb64>/<token>/", views.InvitationView.as_view(), name="invitation"),
    path("second-factor/", factor_views.SecondFactorView.as_view(), name="second_factor"),
    path("second-factor/setup/", factor_views.SecondFactorSetupView.as_view(), name="second_factor_setup"),
]
