"""What the tests of generated Python clients share: the operations of a document, their calls, and the check that every
value of a response has the type that its generated class declares."""

import datetime
import enum
import json
import types
import typing
import uuid


def operations(document, calls):
    """Each operation that is to be called, with its tag and the name of the schema of its success; None where that has no body."""
    with open(document, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    with open(calls, encoding="utf-8") as file:
        called = json.load(file)
    for methods in paths.values():
        for operation in methods.values():
            if operation["operationId"] not in called:
                continue
            success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            content = success.get("content", {}).get("application/json")
            schema = content and content["schema"]["$ref"].rsplit("/", 1)[1]
            yield operation["operationId"], operation["tags"][0], schema


def arguments(calls, operation):
    """The id in the path of a call, and its content; either may be missing."""
    with open(calls, encoding="utf-8") as file:
        call = json.load(file)[operation]
    return ({"id": uuid.UUID(call["id"])} if call["id"] else {}), call["content"]


def camel_case(name):
    return "".join(word.capitalize() for word in name.replace("-", "_").split("_"))


# Any JSON, by design: what a thing was before and after a change depends on the thing.
UNTYPED = ("before", "after")


def check(place, value, models):
    """Walks a generated object: values are of their declared types, and those types say something."""
    # Generated modules import each other for type checkers only: the names are looked up in `models`.
    hints = {
        name: hint
        for name, hint in typing.get_type_hints(type(value), localns=vars(models)).items()
        if not name.startswith("_") and name not in ("additional_properties", "model_config", *UNTYPED)
        and typing.get_origin(hint) is not typing.ClassVar
    }
    assert hints, f"{place}: {value!r} has no fields"
    for name, hint in hints.items():
        found = getattr(value, name)
        assert is_of(found, hint), f"{place}.{name}: {found!r} is no {hint}"
        for item in found if isinstance(found, list) else [found]:
            if type(item).__module__.startswith("partner_client") and not isinstance(item, enum.Enum):
                if type(item).__name__ != "Unset":
                    check(f"{place}.{name}", item, models)


def is_of(value, hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (typing.Any, object):
        return False
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, one) for one in arguments)
    if origin is typing.Annotated:
        return is_of(value, arguments[0])
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(is_of(item, arguments[0]) for item in value)
    if hint in (float, int) and isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, (float, int))
    if hint is datetime.date:
        return isinstance(value, datetime.date)
    return isinstance(value, hint)
