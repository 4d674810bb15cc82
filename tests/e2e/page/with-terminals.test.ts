/** The page of a server on which terminals are allowed. */
import { describe } from 'vitest';
import { hasChromium } from '../../../scripts/chromium.ts';
import { sharedBrowser } from '../../helpers/browser.ts';
import { sharedFakeSystem } from '../fake-system.ts';
import { hostileTexts } from './hostile-texts.ts';
import { logins } from './login.ts';
import { listOfSessions } from './sessions.ts';
import { shellOfPage } from './shell.ts';
import { screenOfSystem } from './system.ts';
import { pageOfUsage } from './usage.ts';

describe.runIf(hasChromium)('a server with terminals', { timeout: 120_000 }, () => {
  const system = sharedFakeSystem({
    config: { terminals: { enabled: true, commands: { bash: { binary: 'bash', args: ['--norc'] } } } },
  });
  const browser = sharedBrowser();
  logins(system, browser);
  shellOfPage(system, browser);
  pageOfUsage(system, browser); // counts every execution, so no job may run before it
  listOfSessions(system, browser);
  screenOfSystem(system, browser);
  hostileTexts(system, browser);
});
