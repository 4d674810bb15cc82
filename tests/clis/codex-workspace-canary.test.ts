import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runAppServerTurn } from '../../scripts/offline-model/codex-app-turn.ts';
import { codexOfflineArgs } from '../../scripts/offline-model/codex-cases.ts';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import { makeCliHome, runCli } from '../../scripts/offline-model/run-cli.ts';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import { createCodexProvider } from '../../src/providers/codex/provider.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const CODEX = fileURLToPath(new URL('./node_modules/.bin/codex', import.meta.url));

type Transport = 'exec' | 'app-server';

/**
 * Runs codex in a workspace the user trusts, whose own config starts a command; whether that
 * command ran.
 */
async function canaryRan(trustedWorkspace: boolean, transport: Transport): Promise<boolean> {
  await using model = await startOfflineModel();
  await using home = await makeCliHome();
  const canary = join(home.workspace, 'canary');
  for (const folder of [home.home, home.workspace]) mkdirSync(join(folder, '.codex'));
  writeFileSync(
    join(home.workspace, '.codex/config.toml'),
    `[mcp_servers.canary]\ncommand="touch"\nargs=[${JSON.stringify(canary)}]\n`,
  );
  writeFileSync(
    join(home.home, '.codex/config.toml'),
    `[projects.${JSON.stringify(home.workspace)}]\ntrust_level="trusted"\n`,
  );
  const args = [...codexOfflineArgs(model.url)];
  const provider = createCodexProvider({ ...builtInOptions({ args }), transport });
  const request = resolvedPrompt({ provider: 'codex', cwd: home.workspace, prompt: 'Hello' });
  const { PATH } = process.env;
  const env = { PATH, HOME: home.home, CODEX_HOME: join(home.home, '.codex'), CODEX_API_KEY: 'offline' };
  if (transport === 'app-server') {
    const offline = { ...request, model: 'offline-model' };
    const { run } = await runAppServerTurn({ provider, request: offline, env, trustedWorkspace, person: {} });
    expect(run.code).toBe(0);
    return existsSync(canary);
  }
  const context = { nativeSessionId: null, trustedWorkspace, scratchDir: home.home };
  const command = provider.command(request, context);
  const run = await runCli({
    binary: CODEX,
    args: command.args,
    env,
    cwd: home.workspace,
    prompt: (command.opening ?? '') + command.stdin,
  });
  expect(run.code).toBe(0);
  return existsSync(canary);
}

describe.each<Transport>(['exec', 'app-server'])('%s', (transport) => {
  it("an untrusted workspace's own commands do not run, although the user's config trusts it", async () => {
    expect(await canaryRan(false, transport)).toBe(false);
  });

  it('they do run where the root is trusted: the canary sings', async () => {
    expect(await canaryRan(true, transport)).toBe(true);
  });
});
