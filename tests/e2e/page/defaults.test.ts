/** The page of a server with the settings that one has at first. */
import { describe, it } from 'vitest';
import { hasChromium } from '../../../scripts/chromium.ts';
import { openPage, sharedBrowser } from '../../helpers/browser.ts';
import { sharedFakeSystem } from '../fake-system.ts';
import { screenOfBatch } from './batch.ts';
import { chats } from './chat.ts';
import { pageOfJob } from './job.ts';
import { actionsOnJob } from './job-actions.ts';
import { commandsOfJob } from './job-commands.ts';
import { listOfJobs } from './jobs.ts';
import { livePage } from './live.ts';
import { newJob } from './new-job.ts';

describe('a server as it is installed', { timeout: 120_000 }, () => {
  const system = sharedFakeSystem({ env: { BULLPEN_KILL_GRACE_MS: '60000' } }); // a person kills

  describe.runIf(hasChromium)('in a browser', () => {
    const browser = sharedBrowser();
    listOfJobs(system, browser); // the first: it begins without a job
    newJob(system, browser);
    pageOfJob(system, browser);
    actionsOnJob(system, browser);
    screenOfBatch(system, browser);
    chats(system, browser);

    it('says how terminals are switched on', async () => {
      const { url, token } = system().server;
      const { page } = await openPage(browser(), { url, token, expected: /403/ });
      await page.goto('/terminals');
      await page.getByText('No other terminal is open').waitFor();
      await page.keyboard.press('t');
      const dialog = page.getByRole('dialog', { name: 'New terminal' });
      await dialog.getByRole('textbox', { name: 'Command' }).fill('bash');
      await dialog.getByRole('button', { name: 'Open' }).click();
      await dialog.getByText('Terminals are switched off on this server.').waitFor();
    });

    livePage(system, browser);
  });

  commandsOfJob(system);
});
