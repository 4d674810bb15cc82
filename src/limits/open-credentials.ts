import type { Logger } from 'pino';
import type { Settings } from '../config/schema.ts';
import type { Providers } from '../providers/registry.ts';
import type { Gates } from '../records/gate-records.ts';
import { type Credentials, createCredentials } from './credentials.ts';
import { createLoginNames } from './login-names.ts';

/** Builds the credentials of this node, under the names that their gates have now. */
export async function openCredentials({
  gates,
  providers,
  environment,
  nodeId,
  settings,
  logger,
}: {
  readonly gates: Gates;
  readonly providers: Providers;
  /** The environment of a provider's CLI, as its jobs have it. */
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  readonly nodeId: string;
  readonly settings: Pick<Settings, 'authCircuitMs'>;
  readonly logger: Logger;
}): Promise<Credentials> {
  const key = await gates.key();
  const accounts = await gates.accounts();
  const logins = createLoginNames({ gates, providers, environment, nodeId, key, accounts });
  return createCredentials({ gates, providers, logins, refusedMs: settings.authCircuitMs, logger });
}
