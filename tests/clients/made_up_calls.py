"""Calls that schemathesis makes up from an OpenAPI document, right and wrong ones, and whether every
answer is one that the document declares.

    made_up_calls.py DOCUMENT URL KEY

Prints whether all was well, and what schemathesis told.
"""

import json
import pathlib
import subprocess
import sys
import tempfile


def main(document, url, key):
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [program, "run", "document.json", "--url", url, "--header", f"Authorization: Bearer {key}"]
    # Which versions can be previewed is for the day to say, not the document: of texts that it allows most are a 400.
    content = json.loads(pathlib.Path(document).read_text())
    for methods in content["paths"].values():
        for operation in methods.values():
            parameters = operation["parameters"]
            operation["parameters"] = [one for one in parameters if one["name"] != "api-version-preview"]
    # The same calls every time; the key goes nowhere but to the gateway.
    command += ["--generation-deterministic", "--max-examples", "30", "--phases", "examples,coverage,fuzzing"]
    command += ["--workers", "1", "--no-color"]
    # It keeps notes where it runs.
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "document.json").write_text(json.dumps(content))
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(json.dumps({"passed": run.returncode == 0, "told": run.stdout + run.stderr}))


main(*sys.argv[1:])
