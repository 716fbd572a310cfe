"""The client that openapi-python-client generates from a document, against the real gateway.

    generated_python_client.py DOCUMENT URL CA KEY CALLS

Calls every operation with what CALLS names for it, and prints {operationId: response}. Fails if a response is not of the type that the document
names, or if a value in it is not of the type that the generated class declares.
"""

import importlib
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile

import typed_values


def generate(document, folder):
    config = folder / "config.json"
    # No formatters, because nobody reads this code.
    config.write_text(json.dumps({"post_hooks": [], "package_name_override": "partner_client"}))
    program = pathlib.Path(sys.executable).with_name("openapi-python-client")
    command = [program, "generate", "--path", document, "--config", config, "--meta", "none", "--fail-on-warning"]
    run = subprocess.run([*command, "--output-path", folder / "partner_client"], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{document} is not understood:\n{run.stdout}{run.stderr}")


def main(document, url, ca, key, calls):
    with tempfile.TemporaryDirectory() as folder:
        generate(document, pathlib.Path(folder))
        sys.path.insert(0, folder)
        package = importlib.import_module("partner_client")
        models = importlib.import_module("partner_client.models")
        trust = ssl.create_default_context(cafile=ca)
        client = package.AuthenticatedClient(
            base_url=url, token=key, verify_ssl=trust, raise_on_unexpected_status=True
        )
        responses = {}
        for operation, tag, schema in typed_values.operations(document, calls):
            module = importlib.import_module(f"partner_client.api.{tag.replace('-', '_')}.{operation}")
            arguments, content = typed_values.arguments(calls, operation)
            if content:
                body = getattr(models, f"{typed_values.camel_case(operation)}Body")
                arguments["body"] = body.from_dict(content)
            if schema is None:
                response = module.sync_detailed(client=client, **arguments)
                assert response.status_code == 204 and not response.content, f"{operation}: {response!r}"
                responses[operation] = None
                continue
            response = module.sync(client=client, **arguments)
            assert isinstance(response, getattr(models, schema)), f"{operation}: {response!r} is no {schema}"
            typed_values.check(operation, response, models)
            responses[operation] = response.to_dict()
        print(json.dumps(responses))


main(*sys.argv[1:])
