"""Valid and invalid requests that schemathesis generates from an OpenAPI document: every response must be one
that the document declares.

    generated_requests.py DOCUMENT URL KEY

Prints whether all passed, and the output of schemathesis.
"""

import json
import pathlib
import subprocess
import sys
import tempfile


# What a document says of these in words: a test of every kind of wrong value is in the tests of the endpoint.
PERMISSIONS = ["ping:read", "connection:read", "me:read", "keys:read", "keys:write", "members:read", "audit:read"]
NARROWER = {
    "name": {"pattern": "^[a-z]+( [a-z]+)?$"},
    "permissions": {"items": {"enum": PERMISSIONS}, "minItems": 1},
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


def main(document, url, key):
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [program, "run", "document.json", "--url", url, "--header", f"Authorization: Bearer {key}"]
    # Which versions can be previewed depends on the day, not on the document: most texts that it allows get a 400. Whether
    # an `idempotency-key` was used before depends on the calls before.
    content = json.loads(pathlib.Path(document).read_text())
    for methods in content["paths"].values():
        for operation in methods.values():
            parameters = operation["parameters"]
            operation["parameters"] = [one for one in parameters if one["in"] != "header"]
            for part in operation.get("requestBody", {}).get("content", {}).values():
                for name, schema in part["schema"]["properties"].items():
                    schema.update(NARROWER.get(name, {}))
    # The same requests every time; the key is sent to the gateway only.
    command += ["--generation-deterministic", "--max-examples", "30", "--phases", "examples,coverage,fuzzing"]
    command += ["--workers", "1", "--no-color", "--output-sanitize", "false"]
    # It writes files to its working directory.
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "document.json").write_text(json.dumps(content))
        # A filter that fits no operation would be a fault.
        if any("/roles/" in path for path in content["paths"]):
            pathlib.Path(folder, "schemathesis.toml").write_text(SETTINGS)
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(json.dumps({"passed": run.returncode == 0, "output": run.stdout + run.stderr}))


main(*sys.argv[1:])
