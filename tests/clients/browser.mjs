// Starts Chromium for the scripts in this folder; `more` are additional flags.
import { createRequire } from "node:module";

export const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

export const launch = (more = []) =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
    timeout: 60000,
  });

/** What the console says and which requests fail on a page, from now on: one of `report` each. */
export function watch(page, report) {
  page.on("console", (message) => report(`${message.type()}: ${message.text()}`));
  page.on("requestfailed", (request) => {
    // A click may leave a page before its icon is there.
    const reason = request.failure().errorText;
    if (reason !== "net::ERR_ABORTED") report(`failed: ${request.url()}: ${reason}`);
  });
}

/** A walk from page to page: the titles that it saw, and its steps. */
export function walk(page) {
  const titles = [];
  const see = async () => titles.push(await page.locator("h1").innerText());
  const press = async (name) => {
    await page.getByRole("button", { name, exact: true }).click();
    await page.waitForLoadState("load");
    await see();
  };
  return { titles, see, press };
}
