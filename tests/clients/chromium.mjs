// PORT SPKI KEY: Chromium loads connection.json over HTTP/3, the Authorization field set by its driver.
import { createRequire } from "node:module";

const { chromium } = createRequire(process.env.NODE_PATH + "/")("playwright-core");
const [port, spki, key] = process.argv.slice(2);
const origin = `https://127.0.0.1:${port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--origin-to-force-quic-on=127.0.0.1:${port}`,
    // A private authority is trusted for QUIC by its key alone.
    `--ignore-certificate-errors-spki-list=${spki}`,
  ],
  timeout: 60000,
});
try {
  const context = await browser.newContext({ extraHTTPHeaders: { authorization: `Bearer ${key}` } });
  const page = await context.newPage();
  const reply = await page.goto(`${origin}/2026-02-01/connection.json`, { timeout: 30000 });
  const navigation = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  const fetched = await page.evaluate(async () => {
    const reply = await fetch("/2026-02-01/ping.json");
    const entry = performance.getEntriesByName(reply.url)[0];
    return { status: reply.status, body: await reply.text(), protocol: entry?.nextHopProtocol };
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
