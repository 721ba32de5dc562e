"""How a registry is told who asks: HTTP Basic, or a token that its own token server gives for a name and password.

The token protocol of the distribution project, with its OAuth 2 form for identity tokens. Asked for is no more than
pulling one repository.
"""

import json
import re
from urllib.parse import urlencode

from canaryfleet.registry.credentials import Login
from canaryfleet.registry.http import Answer, Client, Refused

_PAIR = re.compile(r'([A-Za-z]+)="([^"\\]*)"')
_CLIENT = "canaryfleet"


def authorization(client: Client, answer: Answer, login: Login, repository: str) -> str | None:
    """The header to come back with after a 401; None: there are no credentials that it would take. Raises Refused."""
    scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
    if scheme.lower() == "basic":
        return login.basic
    if scheme.lower() != "bearer":
        raise Refused("it says in no way that is known here how to log in", "is it a registry?")
    said = {name.lower(): value for name, value in _PAIR.findall(rest)}
    realm = client.allowed(said.get("realm", ""), "the token server")
    wanted = {"service": said.get("service", ""), "scope": f"repository:{repository}:pull"}
    return f"Bearer {_token(client, realm, {key: value for key, value in wanted.items() if value}, login)}"


def _token(client: Client, realm: str, wanted: dict[str, str], login: Login) -> str:
    if login.identity:
        form = {
            "grant_type": "refresh_token",
            "client_id": _CLIENT,
            "refresh_token": login.identity,
            **wanted,
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.ask(realm, kind, urlencode(form).encode())
    else:
        mark = "&" if "?" in realm else "?"
        headers = {"Authorization": login.basic} if login.basic else {}
        answer = client.ask(f"{realm}{mark}{urlencode(wanted)}", headers)
    if answer.status in (400, 401, 403):
        raise Refused(f"its token server refuses ({answer.status})", f"`docker login {client.registry}`")
    if answer.status != 200:
        raise Refused(f"its token server answers {answer.status}", "try again later")
    try:
        found = json.loads(answer.body)
        token = found.get("token") or found.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if (
        not isinstance(token, str)
        or not token.isascii()
        or not token.isprintable()
        or " " in token
        or not token
    ):
        raise Refused("its token server gives no token", "is it a registry?")
    return token
