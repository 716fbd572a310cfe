"""An identity provider of another make (PyPI oidc-provider-mock, on Authlib) on a free port of this machine.

It signs with RS256 and does not name its issuer in its responses. PKCE is Authlib's own, which the package leaves out.
Standard input and output are as those of `oidc_provider.mjs`; it ends with its input.
"""

import json
import logging
import sys
import warnings

warnings.simplefilter("ignore")

from authlib.integrations import flask_oauth2
from authlib.oauth2.rfc7636 import CodeChallenge
from oidc_provider_mock import _app, _server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
challenges = {}


class Challenge(CodeChallenge):
    def get_authorization_code_challenge(self, code):
        return challenges.get(code.code)

    def get_authorization_code_challenge_method(self, code):
        return "S256"


class Server(flask_oauth2.AuthorizationServer):
    def register_grant(self, grant, extensions=None):
        if grant is _app.AuthorizationCodeGrant:
            extensions = [*extensions, Challenge(required=True)]
        super().register_grant(grant, extensions)


def save(grant, code, request, original=_app.AuthorizationCodeGrant.save_authorization_code):
    challenges[code] = request.payload.data.get("code_challenge")
    original(grant, code, request)


flask_oauth2.AuthorizationServer = Server
_app.AuthorizationCodeGrant.save_authorization_code = save

with _server._threaded_server(app=_app.app(require_nonce=True), host="127.0.0.1") as server:
    print(json.dumps({"issuer": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"fetches": 0}), flush=True)
