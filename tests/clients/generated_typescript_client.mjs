// DOCUMENT URL CA KEY CALLS: the types that openapi-typescript generates from a document, with the client openapi-fetch, against
// the real gateway. Writes a program that calls every operation and reads every value of its documented example with
// the type that the example has; compiles it strictly; runs it. It prints {operationId: response}.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [document, url, ca, key, callsFile] = process.argv.slice(2);
const calls = JSON.parse(readFileSync(callsFile, "utf8"));
const modules = process.env.NODE_PATH;
const { paths, components } = JSON.parse(readFileSync(document, "utf8"));

// One line for each value of an example: `const v3: string = response.tls!.version;`
function reads(place, value, schema, lines) {
  schema = schema.$ref ? components.schemas[schema.$ref.split("/").pop()] : schema;
  const object = schema.anyOf?.find((form) => form.$ref);
  if (object) return reads(place, value, object, lines);
  if (Array.isArray(value)) return value.slice(0, 1).forEach((item) => reads(`${place}[0]!`, item, schema.items, lines));
  // Any JSON at all.
  if (!schema.properties && !schema.type && !schema.enum && !schema.const && !schema.anyOf) return;
  if (value !== null && typeof value === "object") {
    for (const [name, member] of Object.entries(value)) reads(`${place}.${name}!`, member, schema.properties[name], lines);
    return;
  }
  if (value === null) return;
  const values = schema.enum ?? (schema.const === undefined ? [] : [schema.const]);
  const type = values.map((one) => JSON.stringify(one)).join(" | ") || typeof value;
  // In both directions, so that neither `any` nor a wider type passes.
  const name = `value${lines.length}`;
  lines.push(`  const ${name} = ${place}; check<Equal<NonNullable<typeof ${name}>, ${type}>>();`);
}

const program = [
  'import createClient from "openapi-fetch";',
  'import type { paths } from "./schema.js";',
  "type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;",
  "function check<_ extends true>() {}",
  "declare const process: { argv: string[] };",
  "const [url, key] = process.argv.slice(2);",
  "const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });",
  "const responses: Record<string, unknown> = {};",
];
for (const [path, methods] of Object.entries(paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    // Others are called by somebody else.
    if (!(operation.operationId in calls)) continue;
    const [, success] = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
    const lines = [];
    if (success.content) {
      const { example, schema } = success.content["application/json"];
      reads("data", example, schema, lines);
    }
    const { id, content } = calls[operation.operationId];
    const options = { params: id ? { path: { id } } : undefined, body: operation.requestBody ? content : undefined };
    const call = `client.${method.toUpperCase()}(${JSON.stringify(path)}, ${JSON.stringify(options)})`;
    program.push(
      `async function ${operation.operationId}() {`,
      `  const { data, error } = await ${call};`,
      "  if (error) { const reason: string = error.error; throw new Error(reason); }",
      ...lines,
      `  responses[${JSON.stringify(operation.operationId)}] = data ?? null;`,
      "}",
      `await ${operation.operationId}();`,
    );
  }
}
program.push("console.log(JSON.stringify(responses));");

const folder = mkdtempSync(join(tmpdir(), "client-"));
try {
  symlinkSync(modules, join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(folder, "client.ts"), program.join("\n"));
  const run = (script, ...options) =>
    execFileSync(process.execPath, [script, ...options], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NODE_EXTRA_CA_CERTS: ca },
      stdio: ["ignore", "pipe", "pipe"],
    });
  run(join(modules, "openapi-typescript/bin/cli.js"), document, "--output", "schema.d.ts");
  run(join(modules, "typescript/bin/tsc"), "--strict", "--target", "es2022", "--module", "nodenext", "client.ts");
  console.log(run("client.js", url, key).trim());
} catch (error) {
  console.error(error.stdout, error.stderr);
  throw error;
} finally {
  rmSync(folder, { recursive: true });
}
