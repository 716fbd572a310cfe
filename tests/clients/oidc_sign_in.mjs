// Signs in at an identity provider as a browser does, without scripts: it follows redirects, keeps cookies and fills in
// the first form of each page, until the provider sends it to CALLBACK.
//   browser URL CALLBACK CA USER          prints the URL at which it came back
//   token ISSUER CLIENT SECRET CALLBACK CA USER   is the client as well, and prints the id token
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const STEPS_MAX = 20;
const cookies = new Map();
let ca;

const ask = (url, { method = "GET", body, headers = {} } = {}) =>
  new Promise((resolve, reject) => {
    const options = { method, ca, headers: { ...headers } };
    if (body !== undefined) {
      options.headers["content-type"] = "application/x-www-form-urlencoded";
      options.headers["content-length"] = Buffer.byteLength(body);
    }
    if (cookies.size) options.headers.cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const request = (url.startsWith("https:") ? https : http).request(url, options, (response) => {
      for (const cookie of response.headers["set-cookie"] ?? []) {
        const [pair] = cookie.split(";");
        const at = pair.indexOf("=");
        if (pair.length > at + 1) cookies.set(pair.slice(0, at), pair.slice(at + 1));
        else cookies.delete(pair.slice(0, at));
      }
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode, location: response.headers.location, text: Buffer.concat(chunks).toString() }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });

// The fields of the first form, as a person would fill them in.
const fill = (page, url, user) => {
  const form = /<form\b([^>]*)>(.*?)<\/form>/s.exec(page);
  if (!form) throw new Error(`no form at ${url}: ${page.slice(0, 300)}`);
  const attribute = (tag, name) => new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
  const fields = new URLSearchParams();
  for (const [tag] of form[2].matchAll(/<input\b[^>]*>/gs)) {
    fields.set(attribute(tag, "name"), attribute(tag, "value") || user);
  }
  return [new URL(attribute(form[1], "action")?.replaceAll("&amp;", "&") ?? url, url).href, fields.toString()];
};

const browse = async (start, callback, user) => {
  let url = start;
  let reply = await ask(url);
  for (let step = 0; step < STEPS_MAX; step += 1) {
    if (reply.location) {
      url = new URL(reply.location, url).href;
      if (url.startsWith(callback)) return url;
      reply = await ask(url);
    } else {
      if (reply.status !== 200) throw new Error(`${reply.status} at ${url}: ${reply.text.slice(0, 600)}`);
      const [action, body] = fill(reply.text, url, user);
      url = action;
      reply = await ask(url, { method: "POST", body });
    }
  }
  throw new Error("too many steps");
};

const [mode, ...rest] = process.argv.slice(2);
if (mode === "browser") {
  const [url, callback, file, user] = rest;
  ca = file && readFileSync(file);
  console.log(JSON.stringify({ callback: await browse(url, callback, user) }));
} else {
  const [issuer, client, secret, callback, file, user] = rest;
  ca = file && readFileSync(file);
  const metadata = JSON.parse((await ask(`${issuer}/.well-known/openid-configuration`)).text);
  const verifier = randomBytes(32).toString("base64url");
  const query = new URLSearchParams({
    response_type: "code",
    client_id: client,
    redirect_uri: callback,
    scope: "openid email",
    state: "state",
    nonce: randomBytes(16).toString("hex"),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const back = new URL(await browse(`${metadata.authorization_endpoint}?${query}`, callback, user));
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code: back.searchParams.get("code"),
    redirect_uri: callback,
    code_verifier: verifier,
  }).toString();
  const basic = Buffer.from(`${encodeURIComponent(client)}:${encodeURIComponent(secret)}`).toString("base64");
  const reply = await ask(metadata.token_endpoint, { method: "POST", body, headers: { authorization: `Basic ${basic}` } });
  if (reply.status !== 200) throw new Error(`${reply.status}: ${reply.text}`);
  console.log(JSON.stringify({ token: JSON.parse(reply.text).id_token }));
}
