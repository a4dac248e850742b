
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('emails', '0004_people'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DayCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('status', models.CharField(max_length=10)),
                ('count', models.PositiveIntegerField()),
                ('counted_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='LegalHold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user_label', models.CharField(max_length=320, verbose_name='person')),
                ('reason', models.TextField(verbose_name='reason')),
                ('began_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='since')),
                ('began_by_label', models.CharField(max_length=320, verbose_name='by')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended')),
                ('ended_by_label', models.CharField(blank=True, max_length=320, verbose_name='ended by')),
                ('ended_for', models.TextField(blank=True, verbose_name='ended because')),
            ],
            options={
                'verbose_name': 'legal hold',
                'verbose_name_plural': 'legal holds',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Tombstone',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('kind', models.CharField(blank=True, max_length=40)),
                ('status', models.CharField(max_length=10)),
                ('count', models.PositiveIntegerField(default=0)),
                ('last_pk', models.BigIntegerField(default=0)),
                ('purged_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='emaillog',
            name='purged_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('delivery', ''), _negated=True), fields=['delivery', '-id'], name='emails_log_delivery'),
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('state__in', ('in_doubt', 'failed', 'suppressed', 'expired')), ('delivery__in', ('bounced', 'rejected', 'failed', 'complained')), _connector='OR'), fields=['-id'], name='emails_log_attention'),
        ),
        migrations.AddIndex(
            model_name='emaillog',
            index=models.Index(condition=models.Q(('purged_at__isnull', True)), fields=['created_at'], name='emails_log_bodied'),
        ),
        migrations.AddConstraint(
            model_name='daycount',
            constraint=models.UniqueConstraint(fields=('day', 'status'), name='emails_daycount_one'),
        ),
        migrations.AddField(
            model_name='legalhold',
            name='user',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='legal_holds', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='tombstone',
            constraint=models.UniqueConstraint(fields=('day', 'kind', 'status'), name='emails_tombstone_one'),
        ),
        migrations.AddConstraint(
            model_name='legalhold',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('user',), name='emails_legalhold_one'),
        ),
    ]
