"""What each provider reports of a message, as its documentation shows it: to try the road without waiting for one.

One function a provider makes of what happened the event that it posts.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SMTP_REPLY = "550 5.1.1 mailbox does not exist"
LINK = "https://example.com/welcome"
AGENT = "Mozilla/5.0"
TYPES = ("delivered", "bounced", "complained", "opened", "clicked", "deferred")


@dataclass(frozen=True)
class Happening:
    """What a report is about."""

    type: str  # One of TYPES.
    ref: str
    message_id: str
    to: str
    at: datetime
    event_id: str  # Unlike any other.

    @property
    def seconds(self) -> int:
        return int(self.at.timestamp())

    @property
    def iso(self) -> str:
        return self.at.isoformat()

    def one_of(self, **said: Any) -> Any:
        """What the provider says of what happened."""
        return said[self.type]

    def word(self, *words: str) -> str:
        """The provider's word for what happened, of those for all TYPES."""
        return words[TYPES.index(self.type)]


def amazon_ses(it: Happening) -> dict[str, Any]:
    name = it.word("Delivery", "Bounce", "Complaint", "Open", "Click", "Send")
    bounced = [{"emailAddress": it.to, "diagnosticCode": SMTP_REPLY}]
    about = {
        "Delivery": {"recipients": [it.to], "smtpResponse": "250 OK"},
        "Bounce": {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": bounced},
        "Complaint": {"complainedRecipients": [{"emailAddress": it.to}], "complaintFeedbackType": "abuse"},
        "Open": {"userAgent": AGENT},
        "Click": {"userAgent": AGENT, "link": LINK},
        "Send": {},
    }[name]
    headers = [{"name": "X-Metadata", "value": json.dumps({"ref": it.ref})}]
    mail = {"messageId": it.message_id, "destination": [it.to], "headers": headers}
    return {
        "Type": "Notification",
        "MessageId": it.event_id,
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:email",
        "Timestamp": it.iso,
        "Message": json.dumps({"eventType": name, "mail": mail, name.lower(): about}),
    }


def brevo(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "hard_bounce", "spam", "unique_opened", "click", "deferred")
    return {
        "event": name,
        "email": it.to,
        "message-id": it.message_id,
        "ts_epoch": int(it.at.timestamp() * 1000),
        "X-Mailin-custom": json.dumps({"ref": it.ref}),
        "reason": SMTP_REPLY if it.type == "bounced" else "",
        "tags": [],
        **({"link": LINK} if it.type == "clicked" else {}),
    }


def mailersend(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "hard_bounced", "spam_complaint", "opened", "clicked", "sent")
    morph = {
        "bounced": {"object": "recipient_bounce", "reason": SMTP_REPLY},
        "clicked": {"object": "click", "url": LINK},
    }
    email = {"message": {"id": it.message_id}, "recipient": {"email": it.to}, "tags": [it.ref]}
    data = {"id": it.event_id, "type": name, "created_at": it.iso, "email": email, "morph": morph.get(it.type)}
    return {"type": f"activity.{name}", "data": data}


def mailgun(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "failed", "complained", "opened", "clicked", "failed")
    severity = {"bounced": "permanent", "deferred": "temporary"}
    return {
        "event-data": {
            "event": name,
            "timestamp": it.at.timestamp(),
            "id": it.event_id,
            "recipient": it.to,
            "message": {"headers": {"message-id": it.message_id.strip("<>")}},
            "user-variables": {"ref": it.ref},
            "tags": [],
            **({"severity": severity[it.type], "reason": "bounce"} if it.type in severity else {}),
            **({"delivery-status": {"message": SMTP_REPLY}} if it.type == "bounced" else {}),
            **({"url": LINK} if it.type == "clicked" else {}),
        }
    }


def mailjet(it: Happening) -> dict[str, Any]:
    name = it.word("sent", "bounce", "spam", "open", "click", "bounce")
    trouble = {
        "bounced": {"error": "user unknown", "hard_bounce": True, "comment": SMTP_REPLY},
        "deferred": {"error": "greylisted", "hard_bounce": False},
    }
    number = int(it.message_id) if it.message_id.isdecimal() else it.message_id
    return {
        "event": name,
        "time": it.seconds,
        "MessageID": number,
        "email": it.to,
        "Payload": json.dumps({"ref": it.ref}),
        **trouble.get(it.type, {}),
        **({"url": LINK, "agent": AGENT} if it.type == "clicked" else {}),
    }


def mailtrap(it: Happening) -> dict[str, Any]:
    name = it.word("delivery", "bounce", "spam", "open", "click", "soft bounce")
    return {
        "event": name,
        "message_id": it.message_id,
        "sending_stream": "transactional",
        "email": it.to,
        "timestamp": it.seconds,
        "event_id": it.event_id,
        "custom_variables": {"ref": it.ref},
        **({"response": SMTP_REPLY, "response_code": 550} if it.type == "bounced" else {}),
        **({"url": LINK} if it.type == "clicked" else {}),
    }


def mandrill(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "hard_bounce", "spam", "open", "click", "deferral")
    msg = {"_id": it.message_id, "email": it.to, "metadata": {"ref": it.ref}, "tags": [], "ts": it.seconds}
    if it.type == "bounced":
        msg |= {"diag": SMTP_REPLY, "bounce_description": "bad_mailbox"}
    return {
        "event": name,
        "_id": it.message_id,
        "ts": it.seconds,
        "msg": msg,
        **({"url": LINK} if name == "click" else {}),
    }


def postal(it: Happening) -> dict[str, Any]:
    message = {"id": it.message_id, "to": it.to, "tag": it.ref, "direction": "outgoing"}
    event, payload = it.one_of(
        delivered=("MessageSent", {"status": "Sent", "message": message, "output": "250 OK"}),
        deferred=("MessageDelayed", {"status": "SoftFail", "message": message, "output": "451 later"}),
        bounced=("MessageBounced", {"original_message": message, "bounce": {"id": 7, "subject": "Failure"}}),
        clicked=("MessageLinkClicked", {"message": message, "url": LINK, "user_agent": AGENT}),
    )
    return {"event": event, "timestamp": it.at.timestamp(), "payload": payload, "uuid": it.event_id}


def postmark(it: Happening) -> dict[str, Any]:
    bounce = {"RecordType": "Bounce", "Email": it.to, "BouncedAt": it.iso}
    about = it.one_of(
        delivered={"RecordType": "Delivery", "Recipient": it.to, "DeliveredAt": it.iso, "Details": "250 OK"},
        bounced={**bounce, "Type": "HardBounce", "Details": SMTP_REPLY},
        deferred={**bounce, "Type": "Transient"},
        complained={"RecordType": "SpamComplaint", "Type": "SpamComplaint", "Email": it.to, "BouncedAt": it.iso},
        opened={"RecordType": "Open", "Recipient": it.to, "ReceivedAt": it.iso, "UserAgent": AGENT},
        clicked={"RecordType": "Click", "Recipient": it.to, "ReceivedAt": it.iso, "OriginalLink": LINK},
    )
    return {"MessageID": it.message_id, "Metadata": {"ref": it.ref}, **about}


def resend(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "bounced", "complained", "opened", "clicked", "delivery_delayed")
    bounce = {"message": "The recipient's email provider sent a hard bounce message.", "type": "Permanent"}
    data = {
        "email_id": it.message_id,
        "to": [it.to],
        "headers": [{"name": "X-Metadata", "value": json.dumps({"ref": it.ref})}],
        **({"bounce": bounce} if it.type == "bounced" else {}),
        **({"click": {"link": LINK, "userAgent": AGENT}} if it.type == "clicked" else {}),
    }
    return {"type": f"email.{name}", "created_at": it.iso, "data": data}


def sendgrid(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "bounce", "spamreport", "open", "click", "deferred")
    return {
        "event": name,
        "email": it.to,
        "timestamp": it.seconds,
        "sg_event_id": it.event_id,
        "anymail_id": it.message_id,
        "ref": it.ref,
        **({"type": "bounce", "reason": SMTP_REPLY} if it.type == "bounced" else {}),
        **({"url": LINK} if it.type == "clicked" else {}),
    }


def sparkpost(it: Happening) -> dict[str, Any]:
    family, name = it.one_of(
        delivered=("message_event", "delivery"),
        bounced=("message_event", "bounce"),
        complained=("message_event", "spam_complaint"),
        opened=("track_event", "open"),
        clicked=("track_event", "click"),
        deferred=("message_event", "delay"),
    )
    event = {
        "type": name,
        "timestamp": str(it.seconds),
        "event_id": it.event_id,
        "transmission_id": it.message_id,
        "raw_rcpt_to": it.to,
        "rcpt_meta": {"ref": it.ref},
        **({"bounce_class": "10", "raw_reason": SMTP_REPLY} if it.type == "bounced" else {}),
        **({"target_link_url": LINK} if it.type == "clicked" else {}),
    }
    return {"msys": {family: event}}


def unisender_go(it: Happening) -> dict[str, Any]:
    name = it.word("delivered", "hard_bounced", "spam", "opened", "clicked", "soft_bounced")
    info = {"delivery_status": "err_user_unknown", "destination_response": SMTP_REPLY} if it.type == "bounced" else {}
    return {
        "job_id": "job",
        "metadata": {"ref": it.ref, "anymail_id": it.message_id},
        "email": it.to,
        "status": name,
        "event_time": it.at.strftime("%Y-%m-%d %H:%M:%S"),
        "delivery_info": info,
        **({"url": LINK} if it.type == "clicked" else {}),
    }


MADE = (amazon_ses, brevo, mailersend, mailgun, mailjet, mailtrap, mandrill, postal, postmark, resend, sendgrid)
SAMPLES: dict[str, Callable[[Happening], dict[str, Any]]] = {
    make.__name__: make for make in (*MADE, sparkpost, unisender_go)
}
