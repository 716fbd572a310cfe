// CERTIFICATE KEY CALLBACK, or "" "" CALLBACK: an identity provider (npm oidc-provider) on a free port of this machine,
// over TLS with the certificate. Each line on standard input is a command, each line on standard output its answer:
// `rotate` replaces its keys, `fetches` is how often they were fetched. It ends with its input.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createInterface } from "node:readline";

const { Provider } = await import(`${process.env.NODE_PATH}/oidc-provider/lib/index.js`);
const [certificate, key, callback] = process.argv.slice(2);

let serve;
let fetches = 0;
let generation = 0;
const listener = (request, response) => {
  if (request.url === "/jwks") fetches += 1;
  serve(request, response);
};
const server = certificate
  ? https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, listener)
  : http.createServer(listener);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = certificate
  ? `https://localhost:${server.address().port}`
  : `http://127.0.0.1:${server.address().port}`;

const jwk = (type, options, more) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), use: "sig", ...more };
};

const start = () => {
  generation += 1;
  const keys = [
    jwk("ec", { namedCurve: "P-256" }, { kid: `ec-${generation}`, alg: "ES256" }),
    jwk("rsa", { modulusLength: 2048 }, { kid: `rsa-${generation}`, alg: "PS256" }),
    jwk("ed25519", {}, { kid: `ed-${generation}`, alg: "EdDSA" }),
    jwk("ec", { namedCurve: "P-521" }, { kid: `p521-${generation}`, alg: "ES512" }),
  ];
  const client = (client_id, id_token_signed_response_alg, more) => ({
    client_id,
    id_token_signed_response_alg,
    redirect_uris: [callback],
    require_auth_time: true,
    ...more,
  });
  const provider = new Provider(issuer, {
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: ["ES256", "PS256", "EdDSA"] },
    clients: [
      client("gateway", "ES256", { client_secret: "secret+with/special%characters" }),
      client("ps256", "PS256", { client_secret: "another-secret" }),
      client("public", "EdDSA", { token_endpoint_auth_method: "none" }),
    ],
    claims: { openid: ["sub", "groups"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ["a key for tests only"] },
    features: { devInteractions: { enabled: true } },
    // `ada` is ada@example.com, `bo@other.example` that address; `unverified.ada` only says so.
    findAccount: (_, sub) => {
      const [, unverified, name] = /^(unverified\.)?(.*)$/.exec(sub);
      const email = name.includes("@") ? name : `${name}@example.com`;
      const claims = { sub, groups: ["partner-a"], email, email_verified: !unverified };
      return { accountId: sub, claims: () => claims };
    },
  });
  serve = provider.callback();
};

start();
console.log(JSON.stringify({ issuer }));
for await (const command of createInterface({ input: process.stdin })) {
  if (command === "rotate") start();
  console.log(JSON.stringify({ fetches }));
}
process.exit(0);
