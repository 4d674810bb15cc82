/** Debian's Chromium, for tests, pictures and figures of the page. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

/** The headless shell first: it takes half of the CPU time, as it has no windows of its own. */
const PROGRAMS = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'] as const;
const found = PROGRAMS.find((program) => existsSync(program));

export const hasChromium = found !== undefined;

/** @throws Error when there is none */
export function launchChromium(): Promise<Browser> {
  if (found === undefined) throw new Error(`there is neither ${PROGRAMS.join(' nor ')}`);
  return chromium.launch({ executablePath: found, args: ['--no-sandbox'] });
}
