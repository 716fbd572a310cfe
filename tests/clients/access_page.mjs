// PORTAL: Chromium without JavaScript asks for access and prints the link to its request. Each line on standard input is
// then a command: `state` prints what the request's page says, a URL opens the link to the keys and presses its button. At
// the end of the input it prints the titles that it saw, what the pages' policy refused, and what the policy would have
// refused of a page with foreign content, which shows that refusals are seen.
import { createInterface } from "node:readline";

import { launch, walk, watch } from "./browser.mjs";

const [portal] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));
const browser = await launch(["--ignore-certificate-errors"]);
try {
  const context = await browser.newContext({ javaScriptEnabled: false, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  let faults = [];
  watch(page, (fault) => faults.push(fault));
  const { titles, see, press } = walk(page);
  await page.goto(`${portal}/access`, { timeout: 30000 });
  await see();
  await page.getByLabel("Organization").fill("Blue <b>Ocean</b>");
  await page.getByLabel("Your name").fill("Grace");
  await page.getByLabel("E-mail address").fill("grace@blue.example");
  await page.getByLabel("Use case").fill("We show </textarea><img src=x> our users\nwhere they are.");
  await page.getByRole("group", { name: "Permissions in staging" }).getByLabel("ping:read").check();
  await page.getByRole("group", { name: "Permissions in production" }).getByLabel("ping:read").check();
  await press("Send request");
  const link = await page.getByLabel("Link to your request").inputValue();
  await page.getByRole("link", { name: "Open the request" }).click();
  await page.waitForLoadState("load");
  await see();
  print({ link, url: page.url(), state: await page.locator("main").innerText() });

  for await (const command of createInterface({ input: process.stdin })) {
    if (command === "state") {
      await page.goto(link);
      await see();
      print({ state: await page.locator("main").innerText() });
      continue;
    }
    await page.goto(command);
    await see();
    const before = await page.content();
    await press("Show the keys");
    const keys = await page.getByLabel("Key", { exact: true }).evaluateAll((inputs) => inputs.map((input) => input.value));
    await page.goto(command);
    await see();
    print({ before, keys, again: await page.locator("main").innerText() });
  }

  const seen = faults;
  faults = [];
  await context.route(`${portal}/access`, async (route) => {
    const response = await route.fetch();
    const foreign = '<img src="https://elsewhere.invalid/x.png"><p style="color: red">red</p></main>';
    await route.fulfill({ response, body: (await response.text()).replace("</main>", foreign) });
  });
  await page.goto(`${portal}/access`);
  print({ titles, faults: seen, control: faults, cookies: await context.cookies() });
} finally {
  await browser.close();
}
