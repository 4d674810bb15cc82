/** A browser, and pages that fail their test for an error that their user may not see. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { expect } from 'vitest';
import { launchChromium } from '../../scripts/chromium.ts';
import { sharedFromStart, whenOver } from './shared.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** For what a noisy machine may delay. */
const PATIENCE_MS = 45_000;

/** Those of axe whose result differs from theme to theme. */
const RULES_OF_COLOURS = ['color-contrast', 'link-in-text-block'];

/** Sizes that every screen is looked at in. */
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };

/** One browser for every test of the block that calls this. */
export const sharedBrowser = (): (() => Browser) =>
  sharedFromStart(async () => {
    const browser = await launchChromium();
    whenOver(() => browser.close());
    return browser;
  });

interface PageOptions {
  readonly url: string;
  /** Logs in with this token before the first page; null: the page comes without a login. */
  readonly token: string | null;
  readonly size?: { readonly width: number; readonly height: number };
  /** Messages of the console that the test expects, for example of a server that is away. */
  readonly expected?: RegExp;
}

export interface OpenedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What went wrong so far: violated policies, requests to other hosts, errors in scripts. */
  problems(): readonly string[];
  /**
   * Fails if what is shown now, in either size or theme, violates a rule of accessibility, or is
   * wider than the window.
   *
   * @param options.darkOnPhone whether colours are looked at in the dark on a phone, too: for
   *   screens that have colours of their own there. Others have there what they have on a desktop.
   */
  looksRight(options?: { readonly darkOnPhone?: boolean }): Promise<void>;
}

/**
 * Opens a browser window of its own. When the test is over, it fails if a policy was violated,
 * another host was asked, or a script has failed.
 */
export async function openPage(browser: Browser, options: PageOptions): Promise<OpenedPage> {
  const { url, token, size = DESKTOP, expected } = options;
  const context = await browser.newContext({
    viewport: size,
    colorScheme: 'light',
    baseURL: url,
    locale: 'en-US',
    reducedMotion: 'reduce',
  });
  const problems: string[] = [];
  const note = (text: string): void => {
    if (expected?.test(text) !== true) problems.push(text);
  };
  context.on('request', (request) => {
    const { host, protocol } = new URL(request.url());
    if (/^https?:|^ws/.test(protocol) && host !== new URL(url).host) note(`asked ${request.url()}`);
  });
  context.on('console', (message) => {
    if (message.type() === 'error' || /content security policy|trusted ?types/i.test(message.text()))
      note(`console: ${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (error) => note(`script: ${error.error().message}`));
  context.on('dialog', (dialog) => {
    note(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  if (token !== null) {
    const answer = await context.request.post('/login', { data: { token }, headers: { origin: url } });
    expect(answer.status()).toBe(204);
  }
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  whenOver(async () => {
    await context.close();
    expect(problems).toEqual([]);
  });
  return {
    page,
    context,
    problems: () => problems,
    async looksRight({ darkOnPhone = false } = {}) {
      for (const viewport of [DESKTOP, PHONE]) {
        await page.setViewportSize(viewport);
        const fits = 'document.documentElement.scrollWidth <= innerWidth';
        expect(await page.evaluate(fits), `fits into ${viewport.width} pixels`).toBe(true);
        expect(await violations(page, null), `light, ${viewport.width} pixels`).toEqual([]);
        if (viewport === PHONE && !darkOnPhone) continue;
        await page.emulateMedia({ colorScheme: 'dark' });
        expect(await violations(page, RULES_OF_COLOURS), `dark, ${viewport.width} pixels`).toEqual([]);
        await page.emulateMedia({ colorScheme: 'light' });
      }
      await page.setViewportSize(size);
    },
  };
}

/** @param rules null: all */
async function violations(page: Page, rules: readonly string[] | null): Promise<readonly string[]> {
  const options = { resultTypes: ['violations'], ...(rules !== null && { runOnly: rules }) };
  // In the world of the test, so that the page's policy does not refuse it.
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(AXE);
  const found = await page.evaluate(`axe.run(document, ${JSON.stringify(options)})`);
  const { violations } = found as {
    violations: { id: string; nodes: { target: unknown; failureSummary?: string }[] }[];
  }; // axe's own shape
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${String(target)}: ${failureSummary ?? ''}`),
  );
}
