/** A resolver of requests, over folders of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { createPromptResolver, type ResolvePromptOptions } from '../../../src/jobs/resolve-prompt.ts';
import type { PromptRequest } from '../../../src/protocol/prompt.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { createPricing } from '../../../src/usage/pricing.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

export function setUp(
  changed: Partial<ResolvePromptOptions['settings']> = {},
  providersFile: Record<string, unknown> = {},
) {
  const dir = tempDir();
  const root = join(dir, 'work');
  for (const folder of ['work/sub', 'work-evil']) mkdirSync(join(dir, folder), { recursive: true });
  const settings: ResolvePromptOptions['settings'] = {
    provider: 'claude',
    model: null,
    cwd: root,
    roots: [root],
    trustedRoots: [],
    allowFullAccess: false,
    timeoutMs: 3_600_000,
    idleTimeoutMs: 900_000,
    maxTimeoutMs: 7_200_000,
    maxMemoryBytes: null,
    maxCpuSeconds: null,
    maxOpenFiles: 50_000,
    maxProcesses: 2000,
    maxOutputBytes: 1_000_000,
    maxLineBytes: 100_000,
    ...changed,
  };
  const providers = createProviders(providerSettings(providersFile), PROVIDER_HOST);
  const resolve = (request: unknown, principal = ADMIN_PRINCIPAL) =>
    // as: requests come from outside.
    createPromptResolver(principal, { settings, providers, pricing: createPricing({}) })(
      request as PromptRequest,
    );
  /** The error code of a refused request. */
  const refusal = async (request: unknown, principal = ADMIN_PRINCIPAL) => {
    const error = await resolve(request, principal).then(
      () => ({ code: 'accepted' }),
      (thrown: unknown) => thrown,
    );
    return error as { code: string; status: number; problems: readonly { path: string }[] };
  };
  return { dir, root, resolve, refusal };
}
