"""Makes calls of the Python client. Takes lines of JSON, each with the settings of a vault and the calls that it makes one after the
other; answers each line by one with a list of {"result": ...} or {"error": reason}."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/clients"))
import olares_secrets  # noqa: E402
from olares_secrets import SecretVault, SecretVaultError  # noqa: E402

methods = {
    "retrieve": lambda call: vault.retrieve(call["name"]),
    "getOr": lambda call: vault.get_or(call["name"], call["fallback"]),
    "list": lambda call: [{"name": key, "value": text} for key, text in vault.list().items()],
    "append": lambda call: vault.update(call["name"], lambda current: current + call["suffix"]),
    "create": lambda call: vault.create(call["name"], call["value"]),
    "update": lambda call: vault.update(call["name"], call["value"]) and None,
    "put": lambda call: vault.put(call["name"], call["value"]),
    "delete": lambda call: vault.delete(call["name"]),
    "grantOf": lambda call: grant_of(methods[call["of"]], call),
    "aMinuteLater": lambda _call: setattr(olares_secrets, "ASK_AGAIN_SECONDS", 0),
}


def grant_of(method, call):
    """Makes a call that must be refused. Returns the grant that the refusal names."""
    try:
        method(call)
    except SecretVaultError as error:
        if error.reason == "NOT_GRANTED":
            return error.grant
        raise
    raise AssertionError("it was not refused")


def outcome(call):
    try:
        return {"result": methods[call["method"]](call)}
    except SecretVaultError as error:
        return {"error": error.reason}


ask_again_seconds, bcrypt_cost = olares_secrets.ASK_AGAIN_SECONDS, olares_secrets.BCRYPT_COST
for line in sys.stdin.buffer:
    asked = json.loads(line)
    settings = asked["settings"]
    olares_secrets.ASK_AGAIN_SECONDS = ask_again_seconds
    olares_secrets.BCRYPT_COST = int(settings.get("BCRYPT_COST", bcrypt_cost))
    at = {"system_server" if settings["VIA_SYSTEM_SERVER"] else "url": settings["URL"]}
    vault = SecretVault(workspace=settings["WORKSPACE"], environment="dev", app_key=settings["APP_KEY"],
                        app_secret=settings["APP_SECRET"], user_token=settings["USER_TOKEN"], **at)
    print(json.dumps([outcome(call) for call in asked["calls"]]), flush=True)
