"""Validates OpenAPI documents, and their examples and real responses against them.

    openapi.py FOLDER ANSWERS

FOLDER holds the documents. ANSWERS is a JSON list of real responses: version, method, path, status, fields,
body. Prints how much was checked, and everything that is wrong.
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator
from openapi_schema_validator import oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT = "urn:document"


class Document:
    def __init__(self, path):
        self.name = path.stem
        self.content = json.loads(path.read_text())
        resource = DRAFT202012.create_resource(self.content)
        self.registry = Registry().with_resource(DOCUMENT, resource)

    def resolve(self, value):
        while "$ref" in value:
            place = self.content
            for part in value["$ref"].removeprefix("#/").split("/"):
                place = place[part.replace("~1", "/").replace("~0", "~")]
            value = place
        return value

    def wrong_with_itself(self):
        for error in OpenAPIV31SpecValidator(self.content).iter_errors():
            yield f"{self.name}: {error.message}"

    def wrong_with(self, schema, value):
        # References are relative to the document, wherever the schema is in it.
        schema = json.loads(json.dumps(schema).replace('"#/', f'"{DOCUMENT}#/'))
        validator = Draft202012Validator(schema, registry=self.registry, format_checker=oas31_format_checker)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def operations(self):
        for path, methods in self.content["paths"].items():
            for method, operation in methods.items():
                yield path, method.upper(), operation

    def examples(self):
        for path, method, operation in self.operations():
            for parameter in operation.get("parameters", []):
                if "example" in parameter:
                    yield f"{path} {parameter['name']}", parameter["schema"], parameter["example"]
            content = operation.get("requestBody", {}).get("content", {})
            # A success may have no content.
            success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            answers = success.get("content", {})
            for part in list(content.values()) + list(answers.values()):
                yield f"{method} {path}", part["schema"], part["example"]

    def wrong_with_answer(self, answer):
        """Whether the status is declared, its form is, its fields are, and the body keeps to the schema."""
        operation = self.content["paths"][answer["path"]][answer["method"].lower()]
        response = operation["responses"].get(str(answer["status"]))
        if response is None:
            return ["the status is not declared"]
        response = self.resolve(response)
        fields = dict(answer["fields"])
        wrong = []
        for name, header in response["headers"].items():
            if self.resolve(header).get("required") and name not in fields:
                wrong.append(f"the field {name} is missing")
        kind = fields.get("content-type")
        if "content" not in response:
            return wrong + ([f"{kind} is not declared"] if kind or answer["body"] else [])
        if kind not in response["content"]:
            return wrong + [f"{kind} is not declared"]
        return wrong + self.wrong_with(response["content"][kind]["schema"], json.loads(answer["body"]))


def main(folder, answers):
    documents = {path.stem: Document(path) for path in sorted(pathlib.Path(folder).glob("*.json"))}
    answers = json.loads(pathlib.Path(answers).read_text())
    wrong, examples = [], 0
    for document in documents.values():
        wrong.extend(document.wrong_with_itself())
        for place, schema, example in document.examples():
            examples += 1
            wrong.extend(f"the example of {place}: {error}" for error in document.wrong_with(schema, example))
    for answer in answers:
        about = f"{answer['status']} of {answer['method']} {answer['path']}"
        wrong.extend(f"{about}: {error}" for error in documents[answer["version"]].wrong_with_answer(answer))
    print(json.dumps({"documents": len(documents), "examples": examples, "answers": len(answers), "wrong": wrong}))


main(*sys.argv[1:])
