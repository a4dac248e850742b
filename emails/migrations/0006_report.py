import django.db.models.functions.comparison
import emails.models.status
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('emails', '0005_log'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='EmailReport',
            fields=[
            ],
            options={
                'verbose_name': 'email report',
                'verbose_name_plural': 'email report',
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('emails.daycount',),
        ),
        # The worker counts them anew, from the rows that are still there.
        migrations.RunSQL('DELETE FROM emails_daycount', migrations.RunSQL.noop),
        migrations.RemoveConstraint(
            model_name='daycount',
            name='emails_daycount_one',
        ),
        migrations.RemoveIndex(
            model_name='emaillog',
            name='emails_log_state',
        ),
        migrations.RemoveIndex(
            model_name='emaillog',
            name='emails_log_delivery',
        ),
        migrations.RemoveField(
            model_name='daycount',
            name='count',
        ),
        migrations.RemoveField(
            model_name='daycount',
            name='status',
        ),
        migrations.AddField(
            model_name='daycount',
            name='by',
            field=models.CharField(blank=True, choices=[('', 'all mail'), ('kind', 'kind'), ('provider', 'provider'), ('domain', 'recipient’s domain'), ('reason', 'reason'), ('counted', 'counted')], default='', max_length=10),
        ),
        migrations.AddField(
            model_name='daycount',
            name='counts',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='daycount',
            name='took',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='daycount',
            name='reasons',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='daycount',
            name='value',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='emaillog',
            name='template',
            field=models.CharField(blank=True, max_length=12, verbose_name='template'),
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('state__in', ('queued', 'retrying', 'claimed', 'sending'))), fields=['state', '-id'], name='emails_log_unsettled'),
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(django.db.models.functions.comparison.Coalesce(emails.models.status.NullIfEmpty('delivery'), 'state', output_field=models.CharField()), models.OrderBy(models.F('id'), descending=True), models.F('state'), models.F('delivery'), name='emails_log_status'),
        ),
        migrations.RemoveIndex(
            model_name='emaillog',
            name='emails_log_attention',
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('state__in', ('in_doubt', 'failed', 'suppressed', 'expired')), ('delivery__in', ('bounced', 'rejected', 'failed', 'complained')), _connector='OR'), fields=['-id', 'state', 'delivery'], name='emails_log_attention'),
        ),
        migrations.AddConstraint(
            model_name='daycount',
            constraint=models.UniqueConstraint(fields=('day', 'by', 'value'), name='emails_daycount_one'),
        ),
        # The way back begins here: what has no status column can't stay.
        migrations.RunSQL(migrations.RunSQL.noop, 'DELETE FROM emails_daycount'),
    ]
