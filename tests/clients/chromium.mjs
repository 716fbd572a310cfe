// PORT CA KEY: Chromium loads connection.json over HTTP/3, the Authorization field set by its driver.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import tls from "node:tls";

import { launch } from "./browser.mjs";

const [port, ca, key] = process.argv.slice(2);

/** The hash of the server's public key, from a handshake that checks its certificate. */
function publicKeyHash() {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, ca: readFileSync(ca), timeout: 10000 };
    const socket = tls.connect(options, () => {
      const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
      socket.end();
      resolve(createHash("sha256").update(key).digest("base64"));
    });
    socket.on("error", reject);
    socket.on("timeout", () => socket.destroy(new Error("the handshake takes too long")));
  });
}

const spki = await publicKeyHash();
const origin = `https://127.0.0.1:${port}`;
const browser = await launch([
  `--origin-to-force-quic-on=127.0.0.1:${port}`,
  // A private authority is trusted for QUIC by its key alone.
  `--ignore-certificate-errors-spki-list=${spki}`,
]);
try {
  const context = await browser.newContext({ extraHTTPHeaders: { authorization: `Bearer ${key}` } });
  const page = await context.newPage();
  const reply = await page.goto(`${origin}/2026-02-01/connection.json`, { timeout: 30000 });
  const navigation = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  const fetched = await page.evaluate(async () => {
    const reply = await fetch("/2026-02-01/ping.json");
    const body = await reply.text();
    // The entry is created a moment after the content has arrived.
    let entry;
    for (let round = 0; round < 100 && !entry; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      entry = performance.getEntriesByType("resource").find((entry) => entry.name === reply.url);
    }
    return { status: reply.status, body, protocol: entry?.nextHopProtocol };
  });
  const stranger = await (await browser.newContext()).newPage();
  const refused = await stranger.goto(`${origin}/2026-02-01/connection.json`, { timeout: 30000 });
  console.log(
    JSON.stringify({
      client: "chromium",
      browser: browser.version(),
      status: reply.status(),
      headers: await reply.allHeaders(),
      body: await reply.text(),
      protocol: navigation,
      fetched,
      stranger: { status: refused.status(), body: await refused.text() },
    }),
  );
} finally {
  await browser.close();
}
