from django.db import migrations

NAMES = ("username", "first_name", "last_name", "email")


def index(apps, schema_editor):
    """What begins with a word is found in an index, whatever the database's collation. SQLite reads the table."""
    if schema_editor.connection.vendor == "postgresql":
        for name in NAMES:
            schema_editor.execute(
                f"CREATE INDEX accounts_user_{name}_begins ON accounts_user (LOWER({name}) text_pattern_ops)"
            )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name in NAMES:
            schema_editor.execute(f"DROP INDEX accounts_user_{name}_begins")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_people")]
    operations = [migrations.RunPython(index, drop)]
