"""The Python client that openapi-generator generates from a document, against the real gateway.

    generated_openapi_generator_client.py DOCUMENT URL CA KEY CALLS

Calls every operation with what CALLS names for it, and prints {operationId: response}. Fails if a response is not of the type that the document
names, or if a value in it is not of the type that the generated class declares.
"""

import importlib
import inspect
import json
import pathlib
import subprocess
import sys
import tempfile

import typed_values


def generate(document, folder):
    program = pathlib.Path(sys.executable).with_name("openapi-generator-cli")
    command = [program, "generate", "--input-spec", document, "--generator-name", "python", "--output", folder]
    command += ["--package-name", "partner_client", "--global-property", "apiTests=false,modelTests=false"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{document} is not understood:\n{run.stdout}{run.stderr}")


def main(document, url, ca, key, calls):
    with tempfile.TemporaryDirectory() as folder:
        generate(document, folder)
        sys.path.insert(0, folder)
        package = importlib.import_module("partner_client")
        configuration = package.Configuration(host=url, access_token=key, ssl_ca_cert=ca)
        client = package.ApiClient(configuration)
        responses = {}
        for operation, tag, schema in typed_values.operations(document, calls):
            api = getattr(package, f"{typed_values.camel_case(tag)}Api")(client)
            arguments, content = typed_values.arguments(calls, operation)
            if content:
                # Operations whose contents are alike share a type, which has the name of one of them.
                named = inspect.signature(getattr(api, operation)).parameters
                body = next(name for name in named if name.endswith("_request"))
                arguments[body] = getattr(package, typed_values.camel_case(body)).from_dict(content)
            response = getattr(api, operation)(**arguments)
            if schema is None:
                assert response is None, f"{operation}: {response!r}"
                responses[operation] = None
                continue
            assert isinstance(response, getattr(package, schema)), f"{operation}: {response!r} is no {schema}"
            typed_values.check(operation, response, package)
            responses[operation] = json.loads(response.to_json())
        print(json.dumps(responses))


main(*sys.argv[1:])
