"""What README and .env.example say of the providers, made from the one table; tests compare the two."""

from emails.profile import Provider
from emails.providers import PROVIDERS

HEAD = "| `EMAIL_PROVIDER` | provider | needs | reports | after a crash | extra lock |\n|---|---|---|---|---|---|"


def provider_table() -> str:
    return "\n".join([HEAD, *map(row, PROVIDERS.values())])


def row(provider: Provider) -> str:
    needs = ", ".join(f"`{name}`" for name in provider.required) or "–"
    if provider.key == "console":
        needs = "`DEBUG`"
    if provider.key == "amazon_ses":
        needs = "credentials as boto3 finds them"
    again = f"tried again for {provider.key_hours:g} h, by our key" if provider.key_hours else "shown as in doubt"
    extra = f"`requirements-{provider.extra}.txt`" if provider.extra else "–"
    if provider.extra_for == "webhooks":
        extra += ", for signed webhooks"
    return f"| `{provider.key}` | {provider.label} | {needs} | {authenticated(provider)} | {again} | {extra} |"


def authenticated(provider: Provider) -> str:
    if provider.webhook is None:
        return "none"
    ways = [f"`{name}`" for name in provider.webhook.signed_by] + ["`ANYMAIL_WEBHOOK_SECRET`"] * provider.webhook.basic
    return "with " + " or ".join(ways)


def provider_variables() -> str:
    lines = [
        "# Named as in Anymail's documentation; every variable that starts with a provider's name reaches Anymail.",
        "# Dictionaries are JSON. Those that a provider can't send without are marked with *.",
    ]
    for provider in PROVIDERS.values():
        for variable in provider.variables if provider.prefix else ():
            mark = "*" if variable.required else ""
            lines += [f"# {provider.label}{mark}: {variable.where}", f"# {variable.name}={variable.example}"]
    return "\n".join(lines)
