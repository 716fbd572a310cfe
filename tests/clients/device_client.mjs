// ISSUER CA: a client of another make (npm openid-client) runs the device flow. It prints its codes, then its token; in
// between a line on standard input says that the device was approved.
import { readFileSync } from "node:fs";
import https from "node:https";
import { createInterface } from "node:readline";

const client = await import(`${process.env.NODE_PATH}/openid-client/build/index.js`);
const [issuer, ca] = process.argv.slice(2);
const agent = new https.Agent({ ca: readFileSync(ca) });

// Node's own fetch takes no certificate authority.
const fetch = (url, { method = "GET", headers = {}, body } = {}) =>
  new Promise((resolve, reject) => {
    const content = body === undefined || body === null ? undefined : body.toString();
    const options = { agent, method, headers: { ...Object.fromEntries(new Headers(headers)) } };
    if (content !== undefined) options.headers["content-length"] = Buffer.byteLength(content);
    const request = https.request(url, options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        const fields = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
        resolve(new Response(Buffer.concat(chunks), { status: response.statusCode, headers: fields }));
      });
    });
    request.on("error", reject);
    request.end(content);
  });

const config = await client.discovery(new URL(issuer), "another app", undefined, client.None(), {
  algorithm: "oauth2",
  [client.customFetch]: fetch,
});
config[client.customFetch] = fetch;
const codes = await client.initiateDeviceAuthorization(config, { device_name: "a phone" });
console.log(JSON.stringify(codes));
const token = await client.pollDeviceAuthorizationGrant(config, codes);
console.log(JSON.stringify(token));
await client.tokenRevocation(config, token.access_token);
console.log(JSON.stringify({ revoked: true }));
