"""A client of the secret service of Olares, in one file.

Needs Python 3.9 or later, and the package bcrypt where the app proves itself by its key and secret.

    from olares_secrets import SecretVault, SecretNotFound

    vault = SecretVault(url="http://secret-provider.os-platform:8080", workspace="notes",
                        app_key=os.environ["OS_APP_KEY"], app_secret=os.environ["OS_APP_SECRET"], user_token=token)
    vault.put("api-token", "a value")
    vault.retrieve("api-token")
    vault.update("oauth", lambda current: refresh(current))

An object may be used by several threads. No error and no printed object has a value, a key or a token in it.
"""

import http.client
import json
import random
import re
import threading
import time
import urllib.parse
from datetime import datetime

OPERATIONS = ("RetrieveSecret", "CreateSecret", "UpdateSecret", "DeleteSecret", "ListSecret")
READS = ("RetrieveSecret", "ListSecret")
SYSTEM_SERVER_PATH = "/system-server/v1alpha1/secret/secret.infisical/v1"
# With these nothing was done, so that also a write may be sent again.
NOTHING_DONE = {"TOO_MANY_REQUESTS", "OVERLOADED", "SHUTTING_DOWN", "STORE_UNAVAILABLE", "GRANTS_UNAVAILABLE",
                "IDENTITY_UNAVAILABLE", "AUDIT_UNAVAILABLE", "UNREACHABLE"}
# What system-server says of an access token that it knows no more, as after a restart.
TOKEN_FORGOTTEN = ("token not found in cache or expired", "data access denied")
MAX_RETRY_AFTER_SECONDS = 30
MAX_ATTEMPTS = 1000
MAX_TOKEN_ATTEMPTS = 5
# How long an operation that was refused is not asked for: its grant may have been approved since.
ASK_AGAIN_SECONDS = 60
# How often the renewal of a token that is still good is tried where it fails.
RENEW_AGAIN_SECONDS = 5
BCRYPT_COST = 10
# bcrypt reads no more, and later versions of the package refuse more.
BCRYPT_BYTES = 72
READ_TOKEN_FILE_AGAIN_SECONDS = 60
# The service answers with less.
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class SecretVaultError(Exception):
    """A failed call. `reason` is one of docs/errors.md, or UNREACHABLE, NOT_UNDERSTOOD, NO_CONDITIONAL_WRITES."""

    def __init__(self, reason, message, status=None, request_id=None, retry_after=None, grant=None):
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.grant = grant


class SecretNotFound(SecretVaultError):
    """There is no secret of that name in this workspace and environment."""


class SecretAlreadyExists(SecretVaultError):
    """A secret of that name exists already, and was left as it is."""


class PreconditionFailed(SecretVaultError):
    """The secret has changed since it was read; nothing was written."""


class OutcomeUnknown(SecretVaultError):
    """A write was sent and not confirmed: it may or may not have happened. Read before you repeat it."""


CLASSES = {"SECRET_NOT_FOUND": SecretNotFound, "SECRET_ALREADY_EXISTS": SecretAlreadyExists,
           "PRECONDITION_FAILED": PreconditionFailed, "STORE_OUTCOME_UNKNOWN": OutcomeUnknown}


def _error(reason, message, **details):
    return CLASSES.get(reason, SecretVaultError)(reason, message, **details)


class SecretVault:
    """The secrets of one workspace and environment."""

    def __init__(self, *, workspace, url=None, system_server=None, environment="prod", app_key=None, app_secret=None,
                 service_account_token_file=None, pod_token_file=None, user_token=None, timeout=10.0, max_retries=4):
        """`url` is the service's; `system_server` what OS_SYSTEM_SERVER holds (Olares up to 1.12.0): give one of them.

        The app proves itself by `app_key` and `app_secret`, or by a ServiceAccount token with the service's audience; behind
        the RBAC proxy of Olares 1.12.7 and later `pod_token_file` is the pod's own. `user_token` is a text, or a function
        that returns one. `timeout`, in seconds, is for the connection, and for each silence while an attempt is answered.
        """
        root = url or system_server
        if root is None or (url and system_server):
            raise TypeError("SecretVault needs either url or system_server.")
        self._root = _root_of(root)
        self._path = SYSTEM_SERVER_PATH if system_server else ""
        self._query = "?workspace=" + urllib.parse.quote(workspace, safe="")
        self._environment = environment
        self._user_token = user_token
        self._timeout = timeout
        self._max_retries = max_retries
        if service_account_token_file:
            self._credentials = _TokenFiles(service_account_token_file, pod_token_file)
        elif app_key and app_secret:
            self._credentials = _AccessTokens(self._post, app_key, app_secret, workspace)
        else:
            raise TypeError("SecretVault needs app_key and app_secret, or service_account_token_file.")

    def retrieve(self, name):
        """Returns the value. Raises SecretNotFound."""
        return self._read(name)[0]

    def get_or(self, name, fallback):
        """Returns the fallback where there is no such secret; every other failure is raised."""
        try:
            return self.retrieve(name)
        except SecretNotFound:
            return fallback

    def list(self):
        """Returns {name: value}, by name ascending."""
        data, _ = self._call("ListSecret", {})
        try:
            if not isinstance(data, list):
                raise TypeError
            return {_text(secret["name"]): _text(secret["value"]) for secret in data}
        except (TypeError, KeyError):
            raise _error("NOT_UNDERSTOOD", "What answered is not the secret service.") from None

    def create(self, name, value):
        """Raises SecretAlreadyExists, OutcomeUnknown."""
        self._call("CreateSecret", {"name": name, "value": value})

    def delete(self, name):
        """Raises SecretNotFound, OutcomeUnknown."""
        self._call("DeleteSecret", {"name": name})

    def put(self, name, value):
        """Creates or updates. The last of several writers wins."""
        lost, unknown = None, 0
        for attempt in range(MAX_ATTEMPTS):
            for operation in ("UpdateSecret", "CreateSecret"):
                try:
                    self._call(operation, {"name": name, "value": value})
                    return
                except (SecretNotFound, SecretAlreadyExists):
                    continue
                except OutcomeUnknown as error:
                    # The same value once more does no harm.
                    lost, unknown = error, unknown + 1
                    if unknown > self._max_retries:
                        raise
                    break
                except SecretVaultError as error:
                    raise lost or error
            time.sleep(_pause(min(attempt, 5)))
        raise lost or _error("PRECONDITION_FAILED", "Others create and delete this secret all the time.")

    def update(self, name, change):
        """Overwrites a secret with a text, or with what the function `change` makes of its value; returns the value it has then.

        With a function no update of anybody else is lost: where another writer was faster, `change` is called again with
        that value. It may be called with a value that it has made, where the answer to its write was lost. Returning None leaves
        the secret as it is. Raises SecretNotFound, and OutcomeUnknown, for a function in place of each failure after a write
        that was not confirmed.
        """
        if isinstance(change, str):
            self._call("UpdateSecret", {"name": name, "value": change})
            return change
        # The error is kept to the end: a write that was not confirmed may happen after later ones were refused.
        unconfirmed, lost, unknown = None, None, 0
        for attempt in range(MAX_ATTEMPTS):
            try:
                current, etag = self._read(name)
            except SecretVaultError as error:
                raise lost or error
            if current == unconfirmed:
                return current
            if etag is None:
                raise lost or _error("NO_CONDITIONAL_WRITES", "Nothing between here and the service may take the ETag away.")
            value = change(current)
            if value is None or value == current:
                return current
            try:
                self._call("UpdateSecret", {"name": name, "value": value}, {"If-Match": etag})
                return value
            except PreconditionFailed:
                unconfirmed = None
            except OutcomeUnknown as error:
                unconfirmed, lost, unknown = value, error, unknown + 1
                if unknown > self._max_retries:
                    raise
            except SecretVaultError as error:
                raise lost or error
            time.sleep(random.random() * min(0.25, _pause(attempt % 8)))
        raise lost or _error("PRECONDITION_FAILED", "Others write this secret all the time.")

    def _read(self, name):
        data, etag = self._call("RetrieveSecret", {"name": name})
        try:
            return _text(data["value"]), etag
        except (TypeError, KeyError):
            raise _error("NOT_UNDERSTOOD", "What answered is not the secret service.") from None

    def _call(self, operation, body, more=None):
        """Returns the data and the ETag of an operation, with new credentials where these were refused."""
        for is_repeated in (False, True):
            own = self._credentials.headers(operation)
            user_token = self._user_token() if callable(self._user_token) else self._user_token
            if user_token is not None and not _is_token(user_token):
                raise _error("UNAUTHENTICATED", "The user's token is empty, or cannot be sent in a header.")
            headers = {**own, **({"X-Authorization": user_token} if user_token is not None else {}), **(more or {})}
            try:
                return self._send(operation, {**body, "env": self._environment}, headers)
            except SecretVaultError as error:
                if is_repeated or error.reason != "UNAUTHENTICATED":
                    raise
                self._credentials.refused(own)
        raise AssertionError("not reached")

    def _send(self, operation, body, headers):
        """Sends a request, and again where that is safe."""
        is_read = operation in READS
        for retries in range(self._max_retries + 1):
            try:
                answer = self._post(f"{self._path}/{operation}{self._query}", body, headers, is_read)
                return _unwrap(answer, is_read)
            except SecretVaultError as error:
                wait = max(_pause(retries), error.retry_after or 0)
                if error.reason not in NOTHING_DONE or retries == self._max_retries or wait > MAX_RETRY_AFTER_SECONDS:
                    raise
            time.sleep(wait)
        raise AssertionError("not reached")

    def _post(self, target, body, headers, is_read):
        """Returns the status, the headers and the text of one request."""
        url = urllib.parse.urlsplit(self._root)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        # Without a port http.client takes the end of an IPv6 address for one.
        connection = kind(url.hostname, url.port or kind.default_port, timeout=self._timeout)
        try:
            try:
                connection.connect()
            except OSError:
                raise _error("UNREACHABLE", "The service cannot be reached.") from None
            try:
                text = json.dumps(body).encode()
                connection.request("POST", url.path + target, text, {"Content-Type": "application/json", **headers})
                response = connection.getresponse()
                answer = response.read(MAX_ANSWER_BYTES + 1)
                if len(answer) > MAX_ANSWER_BYTES:
                    raise _error("NOT_UNDERSTOOD", "The answer is too large for one of the secret service.")
                # read() with a size takes an early end for the end.
                if response.length:
                    raise http.client.IncompleteRead(answer, response.length)
                return response.status, response.headers, answer.decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                if is_read:
                    raise _error("UNREACHABLE", "The connection ended before the answer.") from None
                raise _error("STORE_OUTCOME_UNKNOWN", "The connection ended before the write was answered.") from None
        finally:
            connection.close()


class _AccessTokens:
    """Gets one access token for all that the app holds.

    The service names the operation that it refuses; system-server does not, so that from then on there is a token for each.
    """

    def __init__(self, *app):
        self._for_all = _TokensFor(OPERATIONS, *app)
        self._for_each = {operation: _TokensFor((operation,), *app) for operation in OPERATIONS}
        self._is_none_for_all = False

    def headers(self, operation):
        if not self._is_none_for_all:
            try:
                return self._for_all.headers(operation)
            except _UnnamedRefusal:
                self._is_none_for_all = True
        return self._for_each[operation].headers(operation)

    def refused(self, headers):
        for tokens in (self._for_all, *self._for_each.values()):
            tokens.refused(headers)


class _UnnamedRefusal(Exception):
    """system-server has refused a token for several operations, and does not say which of them the app does not hold."""


class _Token:
    """An access token, and the operations that it is for."""

    def __init__(self, text, renew_at, expires_at, ops):
        self.text, self.renew_at, self.expires_at, self.ops = text, renew_at, expires_at, ops


class _Request:
    """A request for an access token, whose outcome is shared by all who wait for it."""

    def __init__(self):
        self.done = threading.Event()
        self.token = self.error = None


class _TokensFor:
    """Gets access tokens for some operations, one at a time, and a new one when four fifths of its life are over.

    The old one is used until it ends. An operation that was refused is sent with the token of the others: the service says why
    it is refused.
    """

    def __init__(self, operations, post, app_key, app_secret, workspace):
        self._post = post
        self._key, self._secret = app_key, app_secret
        self._all_ops = {operation: f"{operation}?workspace={workspace}" for operation in operations}
        # What the app does not hold, by the clock that nobody sets: the service issues no token for it.
        self._refusals = {}
        # Is not held while something is waited for.
        self._lock = threading.Lock()
        self._token = self._pending = None

    def headers(self, operation):
        op = self._all_ops[operation]
        while True:
            with self._lock:
                token, is_due = self._good_token(op)
                request = self._pending
                is_ours = request is None and (token is None or is_due)
                if is_ours:
                    request = self._pending = _Request()
            if is_ours:
                # Others use the old token meanwhile, where there is one.
                self._request(request, MAX_TOKEN_ATTEMPTS if token is None else 1)
                token = request.token or token
            elif token is None:
                request.done.wait()
                token = request.token
            if token is not None:
                return {"X-Access-Token": token.text}
            if request.error is not None:
                raise self._refusals.get(op, (request.error,))[0].with_traceback(None)
            # Whoever asked was interrupted.

    def _good_token(self, op):
        """Returns the token where it is good for this, or for others where this was refused; and whether to renew it."""
        token, now = self._token, time.time()
        refusal, refused_at = self._refusals.get(op, (None, 0.0))
        is_refused = refusal is not None and time.monotonic() - refused_at < ASK_AGAIN_SECONDS
        if not is_refused:
            self._refusals.pop(op, None)
        if token is not None and now < token.expires_at and (is_refused or op in token.ops):
            is_due = now >= token.renew_at and not is_refused
            if is_due:
                token.renew_at = now + RENEW_AGAIN_SECONDS
            return token, is_due
        if is_refused:
            raise refusal.with_traceback(None)
        return None, False

    def refused(self, headers):
        with self._lock:
            if self._token is not None and headers.get("X-Access-Token") == self._token.text:
                self._token = None

    def _request(self, request, max_attempts):
        """Asks for what was not refused, and notes the outcome for all who wait for it."""
        attempt = 1
        try:
            while request.token is None and request.error is None:
                ops = [op for op in self._all_ops.values() if op not in self._refusals]
                try:
                    request.token = self._ask(ops)
                except _UnnamedRefusal as error:
                    request.error = error
                except SecretVaultError as error:
                    wait = max(_pause(attempt), error.retry_after or 0)
                    if error.reason == "NOT_GRANTED" and self._withdraw(ops, error):
                        continue
                    if (error.reason not in ("UNREACHABLE", "TOO_MANY_REQUESTS") or attempt == max_attempts
                            or wait > MAX_RETRY_AFTER_SECONDS):
                        request.error = error
                    else:
                        time.sleep(wait)
                        attempt += 1
        finally:
            with self._lock:
                self._pending, self._token = None, request.token or self._token
            request.done.set()

    def _withdraw(self, ops, error):
        """Notes what was refused: all where the error names none. Returns whether there are others to ask for."""
        refused = [op for op in ops if error.grant in (None, op)]
        for op in refused:
            self._refusals[op] = (error, time.monotonic())
        return 0 < len(refused) < len(ops)

    def _ask(self, ops):
        """Returns a token, when it is to be renewed, when it ends, and what it is for."""
        import bcrypt

        now = time.time()
        proof = f"{self._key}{int(now)}{self._secret}".encode()
        body = {
            "app_key": self._key,
            "timestamp": int(now),
            "token": bcrypt.hashpw(proof[:BCRYPT_BYTES], bcrypt.gensalt(BCRYPT_COST)).decode(),
            "perm": {"dataType": "secret", "group": "secret.infisical", "version": "v1", "ops": ops},
        }
        status, headers, text = self._post("/permission/v1alpha1/access", body, {}, True)
        answer = _parse(text)
        data, message = answer.get("data"), str(answer.get("message", ""))
        if status == 200 and answer.get("code") == 0:
            try:
                # Go writes nine digits of a second, of which Python reads six since 3.11 alone.
                seconds = re.sub(r"\.\d+", "", data["expired_at"]).replace("Z", "+00:00")
                expires = datetime.fromisoformat(seconds).timestamp()
                if _is_token(data["access_token"]):
                    return _Token(data["access_token"], now + 0.8 * (expires - now), expires, ops)
            except (TypeError, KeyError, ValueError, AttributeError):
                pass
        details = {"status": status, "retry_after": _retry_after(headers, data)}
        if message.endswith("belongs to another app of this user"):
            raise _error("NOT_GRANTED", "The workspace belongs to another app of this user.", **details)
        if message.startswith("permission required is not allowed"):
            grant = next((op for op in ops if message.endswith(op) or len(ops) == 1), None)
            if grant is None:
                raise _UnnamedRefusal
            raise _error("NOT_GRANTED", "The app holds no grant for what it asks for.", grant=grant, **details)
        if "request time expired" in message:
            raise _error("UNAUTHENTICATED", "The clock is off by more than system-server allows.", **details)
        if answer.get("code") == 100001 or "invalid auth token" in message or "app not found" in message:
            raise _error("UNAUTHENTICATED", "The app's key or secret was refused, or the clock is more than 10 s off.",
                         **details)
        reason = "TOO_MANY_REQUESTS" if status == 429 else "UNREACHABLE" if status >= 500 else "NOT_UNDERSTOOD"
        raise _error(reason, f"No access token: the answer was {status}.", **details)


class _TokenFiles:
    """Sends the pod's ServiceAccount token, read anew each minute and when it was refused."""

    def __init__(self, ours, pods):
        self._ours, self._pods = ours, pods
        self._headers, self._read_at = None, 0.0

    def headers(self, _operation):
        # Other threads may have its token refused meanwhile.
        headers = self._headers
        if headers is None or time.monotonic() - self._read_at > READ_TOKEN_FILE_AGAIN_SECONDS:
            ours = "Bearer " + self._token_in(self._ours)
            own = {"Authorization": "Bearer " + self._token_in(self._pods), "Temp-Authorization": ours} if self._pods else {}
            headers = own or {"Authorization": ours}
            self._headers, self._read_at = headers, time.monotonic()
        return headers

    def refused(self, _headers):
        self._headers = None

    @staticmethod
    def _token_in(path):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                token = file.read().strip()
        except OSError:
            raise _error("UNAUTHENTICATED", f"The token file {path} cannot be read.") from None
        if not _is_token(token):
            raise _error("UNAUTHENTICATED", f"The file {path} holds no token.")
        return token


def _root_of(address):
    root = address if "://" in address else f"http://{address}"
    try:
        url = urllib.parse.urlsplit(root)
        is_one = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        is_one = False
    if not is_one or "@" in url.netloc or re.search(r"[?#\s]", root):
        raise TypeError("SecretVault needs an address of http or https without credentials, query and fragment.") from None
    return root.rstrip("/")


def _unwrap(answer, is_read):
    """Reads the envelope in each of its forms: documented, the predecessor's, wrapped by system-server."""
    status, headers, text = answer
    is_ok = status == 200
    envelope = _parse(text)
    code, wrapped = envelope.get("code") if is_ok else None, envelope.get("data")
    message = str(envelope.get("message"))
    if code == 100001 or (code == 1 and message.startswith(TOKEN_FORGOTTEN)):
        raise _error("UNAUTHENTICATED", "system-server refused the access token.", status=status)
    if code == 1:
        # system-server's sentence: the status of what it called, and the answer; or that there was none.
        called = re.match(r"invoke provider err: code (\d{3})\b", message)
        if called is None and message.startswith("invoke provider err: "):
            raise _error("UNREACHABLE" if is_read else "STORE_OUTCOME_UNKNOWN", "system-server had no answer.")
        status = int(called[1]) if called else status
        envelope = _parse(message[message.index("{"):]) if "{" in message else {}
    elif code == 0 and isinstance(wrapped, dict) and "code" in wrapped:
        envelope = wrapped
    outcome = envelope.get("code")
    if is_ok and code != 1 and outcome in (0, 200):
        return envelope.get("data"), headers.get("ETag")
    if is_ok and isinstance(outcome, int) and outcome >= 400:
        status = outcome
    data = envelope.get("data")
    data = data if isinstance(data, dict) else {}
    details = {"status": status, "request_id": data.get("requestId") or headers.get("X-Request-Id"),
               "grant": data.get("grant"), "retry_after": _retry_after(headers, data)}
    reason = data.get("reason")
    if isinstance(reason, str) and re.fullmatch("[A-Z_]{3,40}", reason):
        raise _error(reason, str(envelope.get("message")), **details)
    # A gateway in between: it may have passed a write on.
    if status == 429:
        raise _error("TOO_MANY_REQUESTS", "Too many requests.", **details)
    if status >= 500:
        raise _error("UNREACHABLE" if is_read else "STORE_OUTCOME_UNKNOWN", f"A gateway answered {status}.", **details)
    raise _error("NOT_UNDERSTOOD", f"What answered ({status}) is not the secret service.", **details)


def _text(value):
    if not isinstance(value, str):
        raise TypeError
    return value


def _is_token(text):
    """Whether a text may be sent in a header."""
    return isinstance(text, str) and re.fullmatch(r"[\x21-\x7e]+", text) is not None


def _retry_after(headers, data):
    """Returns seconds, or None: also for a date, as a gateway may send it."""
    for stated in (headers.get("Retry-After"), data.get("retryAfterSeconds") if isinstance(data, dict) else None):
        try:
            return float(stated)
        except (TypeError, ValueError):
            continue
    return None


def _parse(text):
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _pause(retries):
    return min(5.0, 0.1 * 2**retries) * (0.5 + random.random() / 2)
