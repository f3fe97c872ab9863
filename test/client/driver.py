"""Makes one call of the Python client, given as JSON in its argument, and prints {"result": ...} or {"error": reason}."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/clients"))
from olares_secrets import SecretVault, SecretVaultError  # noqa: E402

at = {"system_server" if os.environ["VIA_SYSTEM_SERVER"] else "url": os.environ["URL"]}
vault = SecretVault(workspace="ws", environment="dev", app_key="fake-key", app_secret="fake-secret",
                    user_token="fake-user-token", **at)
call = json.loads(sys.argv[1])
name, value = call.get("name"), call.get("value")
methods = {
    "retrieve": lambda: vault.retrieve(name),
    "getOr": lambda: vault.get_or(name, call["fallback"]),
    "list": lambda: [{"name": key, "value": text} for key, text in vault.list().items()],
    "append": lambda: vault.update(name, lambda current: current + call["suffix"]),
    "create": lambda: vault.create(name, value),
    "update": lambda: vault.update(name, value) and None,
    "put": lambda: vault.put(name, value),
    "delete": lambda: vault.delete(name),
}
try:
    print(json.dumps({"result": methods[call["method"]]()}))
except SecretVaultError as error:
    print(json.dumps({"error": error.reason}))
