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
