"""FILE: reads the documentation's content, {"html": {path: text}, "powershell": {path: text}}, and reports every
page that is not well-formed HTML and every sample that is not valid PowerShell."""

import json
import sys

import html5lib
import tree_sitter
import tree_sitter_powershell

with open(sys.argv[1], encoding="utf-8") as file:
    found = json.load(file)

faults = []
for path, text in found["html"].items():
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(text)
    faults += [f"{path}: {place}: {fault}" for place, fault, _ in parser.errors]

powershell = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def wrong(node):
    """Every place where the parser had to guess."""
    if node.is_error or node.is_missing:
        yield node.start_point
    for child in node.children:
        yield from wrong(child)


for path, text in found["powershell"].items():
    tree = powershell.parse(text.encode())
    faults += [f"{path}: {place}: no PowerShell: {text}" for place in wrong(tree.root_node)]

# Checks the checks: they find obvious errors.
control = html5lib.HTMLParser(strict=False)
control.parse("<!doctype html><p><div></p>")
guards = bool(control.errors) and any(wrong(powershell.parse(b"$a = @{ b = \n").root_node))
counts = {kind: len(found[kind]) for kind in ("html", "powershell")}
print(json.dumps({"faults": faults, "guards": guards, **counts}))
