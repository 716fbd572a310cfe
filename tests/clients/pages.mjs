// BASE PATH...: Chromium opens each page of the documentation at three widths, light and dark. axe checks its
// accessibility, and nothing may be wider than the window.
import { readFileSync } from "node:fs";

import { launch, require, watch } from "./browser.mjs";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [base, ...paths] = process.argv.slice(2);

const browser = await launch();
const looks = [];
const faults = [];
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 820, 1440]) {
      // axe is a script, which the pages' content security policy forbids.
      const context = await browser.newContext({
        colorScheme,
        viewport: { width, height: 900 },
        bypassCSP: true,
        reducedMotion: "reduce",
      });
      const page = await context.newPage();
      const at = (path) => `${path} ${width} ${colorScheme}`;
      watch(page, (fault) => faults.push(fault));
      for (const path of paths) {
        const reply = await page.goto(base + path, { timeout: 30000 });
        if (reply.status() !== 200) faults.push(`${at(path)}: ${reply.status()}`);
        const wider = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        if (wider > 0) faults.push(`${at(path)}: ${wider} pixels wider than the window`);
        // Collapsed content is checked too.
        await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        for (const { id, nodes } of violations) {
          for (const node of nodes.slice(0, 3)) {
            faults.push(`${at(path)}: ${id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`);
          }
        }
        looks.push(at(path));
      }
      await context.close();
    }
  }
  // By keyboard: the first tab stop skips to the content.
  const page = await browser.newPage();
  await page.goto(base + paths[0]);
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.getAttribute("href"));
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  await page.keyboard.press("Enter");
  const target = await page.evaluate(() => document.activeElement.id);
  console.log(JSON.stringify({ browser: browser.version(), looks, faults, keyboard: { first, outline, target } }));
} finally {
  await browser.close();
}
