// URL PORT: Chromium without JavaScript changes the settings of the local profile; then a page of another port tries to.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { launch, require, watch } from "./browser.mjs";

const [url, port] = process.argv.slice(2);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const faults = [];

/** Another server of this machine: it records the cookies that it gets, and posts to the settings page. */
const cookies = [];
const hostile = createServer((request, response) => {
  if (request.headers.cookie) cookies.push(request.headers.cookie);
  response.setHeader("content-type", "text/html");
  response.end(`<form method="post" action="${url}rotate"><input name="proof" value="x"><button>Win</button></form>`);
});
await new Promise((resolve) => hostile.listen(0, "127.0.0.1", resolve));

const browser = await launch();
try {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  let expected = false;
  watch(page, (fault) => expected || faults.push(fault));
  const submit = async (name) => {
    await page.getByRole("button", { name, exact: true }).click();
    await page.waitForLoadState();
    if (!(await page.getByRole("status").count())) faults.push(`${name}: ${await page.innerText("main")}`);
  };
  await page.goto(url, { timeout: 30000 });
  const tokenBefore = await page.getByRole("textbox", { name: "Token" }).inputValue();
  await page.getByRole("spinbutton", { name: "Port" }).fill(port);
  await submit("Change port");
  const seenPort = await page.getByRole("spinbutton", { name: "Port" }).inputValue();
  await submit("Rotate token");
  const tokenAfter = await page.getByRole("textbox", { name: "Token" }).inputValue();
  await submit("Switch off");
  const off = await page.locator("form button").first().innerText();
  await submit("Switch on");
  const on = await page.locator("form button").first().innerText();

  await page.goto(`http://127.0.0.1:${hostile.address().port}/${new URL(url).pathname.slice(0, 9)}`);
  // The browser reports the refusal as an error.
  expected = true;
  const [reply] = await Promise.all([page.waitForNavigation(), page.getByRole("button").click()]);
  const status = reply.status();
  await context.close();

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 1440]) {
      const looks = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
      const look = await looks.newPage();
      await look.goto(url);
      const wider = await look.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      if (wider > 0) faults.push(`${wider} pixels wider than a window of ${width}`);
      await look.evaluate(axe);
      const { violations } = await look.evaluate(() => window.axe.run());
      for (const { id, nodes } of violations) faults.push(`${width} ${colorScheme} ${id}: ${nodes[0].html}`);
      if (process.env.SCREENSHOTS) await look.screenshot({ path: `${process.env.SCREENSHOTS}/${colorScheme}-${width}.png`, fullPage: true });
      await looks.close();
    }
  }
  console.log(JSON.stringify({ faults, tokenBefore, tokenAfter, port: seenPort, off, on, hostile: { cookies, status } }));
} finally {
  await browser.close();
  hostile.close();
}
