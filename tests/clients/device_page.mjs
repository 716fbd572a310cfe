// PORTAL LINK PAGE ACTION: Chromium without JavaScript signs in by a one-time link, approves or denies the device of
// PAGE, and ends its session. It prints the titles that it saw, and what the pages' policy refused.
import { launch, walk, watch } from "./browser.mjs";

const [portal, link, code, action] = process.argv.slice(2);
const browser = await launch(["--ignore-certificate-errors"]);
try {
  const context = await browser.newContext({ javaScriptEnabled: false, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const faults = [];
  watch(page, (fault) => faults.push(fault));
  const { titles, see, press } = walk(page);
  await page.goto(code, { timeout: 30000 });
  await see();
  await page.goto(link);
  await press("Sign in");
  await page.goto(code);
  await press("Continue");
  const shown = await page.locator("dl").innerText();
  await page.getByLabel("Environment").selectOption("staging");
  await press(action);
  await page.goto(portal);
  await see();
  const devices = await page.locator("main").innerText();
  await press("Sign out");
  await page.goto(portal);
  await see();
  const cookies = await context.cookies();
  console.log(JSON.stringify({ titles, faults, shown, devices, cookies }));
} finally {
  await browser.close();
}
