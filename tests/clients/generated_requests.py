"""Valid and invalid requests that schemathesis generates from an OpenAPI document: every response must be one
that the document declares.

    generated_requests.py DOCUMENT URL KEY

Prints whether all passed, and the output of schemathesis.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile


# Valid values of fields whose document says in words which these are; invalid ones come from the document as it is.
PERMISSIONS = ["ping:read", "connection:read", "me:read", "keys:read", "keys:write", "members:read", "audit:read"]
NARROWER = {
    "name": {"pattern": "^[a-z]+( [a-z]+)?$"},
    "permissions": {"items": {"enum": PERMISSIONS}, "minItems": 1},
    # Only what an operator grants can be asked for.
    "staging": {"type": "array", "items": {"enum": ["ping:read", "connection:read"]}, "minItems": 1},
    "production": {"type": "array", "items": {"enum": ["ping:read", "connection:read"]}, "minItems": 1},
    "useCase": {"pattern": "^[a-z]+( [a-z]+)?$"},
    "text": {"pattern": "^[a-z]+( [a-z]+)?$"},
    "allow": {"items": {"enum": ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]}},
    # Which time has passed depends on the day.
    "expires": {"enum": ["2199-01-01T00:00:00Z", "2199-06-01T12:30:00+02:00", None]},
}


# Ids of earlier responses are used in later calls; but a built-in role has none, and `null` is no id.
SETTINGS = """
[[operations]]
include-path-regex = "/roles/"
phases.examples.extra-data-sources.responses = false
phases.coverage.extra-data-sources.responses = false
phases.fuzzing.extra-data-sources.responses = false
"""


def run(mode, content, url, key):
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [program, "run", "document.json", "--url", url, "--header", f"Authorization: Bearer {key}"]
    # The same requests every time; the key is sent to the gateway only.
    command += ["--generation-deterministic", "--max-examples", "30"]
    # Some requests of a negative run are valid after all; these are the other run's, which knows what is.
    if mode == "negative":
        command += ["--exclude-checks", "positive_data_acceptance"]
    command += ["--phases", "examples,coverage,fuzzing"]
    command += ["--workers", "1", "--no-color", "--mode", mode]
    # It writes files to its working directory.
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "document.json").write_text(json.dumps(content))
        # A filter that fits no operation would be a fault.
        if any("/roles/" in path for path in content["paths"]):
            pathlib.Path(folder, "schemathesis.toml").write_text(SETTINGS)
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def main(document, url, key):
    content = json.loads(pathlib.Path(document).read_text())
    operations = [operation for methods in content["paths"].values() for operation in methods.values()]
    # Which versions can be previewed depends on the day, not on the document: most texts that it allows get a 400. Whether
    # an `idempotency-key` was used before depends on the calls before.
    for operation in operations:
        operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "header"]
    runs = [run("negative", content, url, key)]
    for operation in operations:
        for part in operation.get("requestBody", {}).get("content", {}).values():
            for name, schema in part["schema"]["properties"].items():
                schema.update(NARROWER.get(name, {}))
                if name == "useCase":
                    # Something must be asked for, in one environment at least.
                    part["schema"]["required"].append("staging")
    runs.append(run("positive", content, url, key))
    # Warnings, such as of things that were not there, are no faults; but all that was generated has passed.
    passed = all(one.returncode == 0 and re.search(r"\b(\d+) generated, \1 passed", one.stdout) for one in runs)
    print(json.dumps({"passed": bool(passed), "output": "".join(one.stdout + one.stderr for one in runs)}))


main(*sys.argv[1:])
