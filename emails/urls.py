from django.urls import path

from emails.webhooks import receive

# The address that Anymail's documentation names; the view answers 404 for every provider that is not in use.
urlpatterns = [path("anymail/<slug:esp>/tracking/", receive, name="emails_webhook")]
