"""An SMTP server (PyPI aiosmtpd) on a free port of this machine, which prints each mail that it takes as a line of JSON.

smtp_sink.py plain                             without encryption
smtp_sink.py starttls CHAIN KEY USER PASSWORD  takes mail only after STARTTLS and a sign-in

What becomes of a mail is in the local part of its recipient: `busy2-…` is answered with 451 twice and then taken, `gone-…`
is refused with 550. It prints its port first and ends with its input.
"""

import collections
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

attempts = collections.Counter()


def say(**what):
    print(json.dumps(what), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        attempts[address] += 1
        if address.startswith("gone-"):
            say(refused=address)
            return f"550 5.1.1 <{address}>: no such mailbox"
        if address.startswith("busy2-") and attempts[address] <= 2:
            say(deferred=address)
            return f"451 4.3.0 <{address}>: try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say(
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            head={name.lower(): str(value) for name, value in mail.items()},
            text=mail.get_content(),
            tls=session.ssl is not None,
            user=session.auth_data.login.decode() if session.auth_data else None,
        )
        return "250 OK"


options = {}
if sys.argv[1] == "starttls":
    chain, key, user, password = sys.argv[2:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    def authenticate(server, session, envelope, mechanism, data):
        matches = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=matches, handled=False, auth_data=data)

    options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": authenticate}


class FreePort(Controller):
    """Also tries the server before it says that it is ready, with the port that it was given."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = FreePort(Handler(), hostname="127.0.0.1", port=0, **options)
controller.start()
say(port=controller.port)
sys.stdin.read()
controller.stop()
