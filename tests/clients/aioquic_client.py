"""PORT CA KEY UNKNOWN-KEY: the contract's cases over HTTP/3 by aioquic."""

import asyncio

import cases
import h3


async def main():
    port, ca, keys = cases.arguments()
    answers = []
    async with h3.client(port, ca) as client:
        for name, method, path, credential in cases.CASES:
            status, fields, body = await client.ask(method, path, keys.get(credential))
            fields = [(field, value) for field, value in fields if not field.startswith(":")]
            answers.append(cases.answer(name, status, "HTTP/3", fields, body))
    cases.finish("aioquic", answers)


asyncio.run(main())
