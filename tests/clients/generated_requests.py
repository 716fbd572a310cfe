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


def main(document, url, key):
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [program, "run", "document.json", "--url", url, "--header", f"Authorization: Bearer {key}"]
    # Which versions can be previewed depends on the day, not on the document: most texts that it allows get a 400.
    content = json.loads(pathlib.Path(document).read_text())
    for methods in content["paths"].values():
        for operation in methods.values():
            parameters = operation["parameters"]
            operation["parameters"] = [one for one in parameters if one["name"] != "api-version-preview"]
    # The same requests every time; the key is sent to the gateway only.
    command += ["--generation-deterministic", "--max-examples", "30", "--phases", "examples,coverage,fuzzing"]
    command += ["--workers", "1", "--no-color"]
    # It writes files to its working directory.
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "document.json").write_text(json.dumps(content))
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(json.dumps({"passed": run.returncode == 0, "output": run.stdout + run.stderr}))


main(*sys.argv[1:])
