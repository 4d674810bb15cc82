import { messageOf } from '../errors.ts';
import { type CliProbe, withFolder } from '../executor/cli-probe.ts';
import type { Executor } from '../executor/executor.ts';
import type { StateFolders } from '../executor/state-folder.ts';
import type { Circuits } from '../limits/circuits.ts';
import type { ProviderReport } from '../protocol/server-info.ts';

import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import { loginState } from './login-state.ts';

export interface ProviderReportsOptions {
  readonly providers: Providers;
  readonly probe: CliProbe;
  readonly stateFolders: StateFolders;
  readonly circuits: Pick<Circuits, 'view'>;
  /** The environment of a provider's CLI, as its jobs have it. */
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  readonly executor: Pick<Executor, 'runningOf'>;
  /** Default: of this machine. */
  readonly platform?: NodeJS.Platform;
}

/** What each provider can do here: which CLI, which version, logged in or not, and what a person has to do. */
export function createProviderReports(
  options: ProviderReportsOptions,
): () => Promise<readonly ProviderReport[]> {
  const {
    providers,
    probe,
    stateFolders,
    circuits,
    environment,
    executor,
    platform = process.platform,
  } = options;

  async function report({
    provider,
    binary: configured,
    defaults,
    fallback,
  }: RegisteredProvider): Promise<ProviderReport> {
    const { name, login, capabilities } = provider;
    const env = environment(name, {});
    const circuit = circuits.view({ provider, env });
    const base = {
      name,
      circuit: circuit.state,
      circuitOpenUntil: circuit.openUntil === null ? null : new Date(circuit.openUntil).toISOString(),
      running: executor.runningOf(name),
      concurrency: defaults.concurrency,
      fallback,
      capabilities: { ...capabilities },
    };
    try {
      const cli = await probe.find(provider, configured);
      const { binary } = cli;
      const cliEnv = withFolder(env, cli.extraFolder);
      const [version, state, unsaved] = await Promise.all([
        probe.version(provider, cli),
        loginState({
          login,
          env,
          seen: circuit,
          askCli: () => probe.loggedIn(provider, binary, cliEnv),
          mayHideLogin: platform === 'darwin',
        }),
        stateFolders.trouble(provider, env),
      ]);
      const report = { ...base, available: true, version, binary, ...state };
      if (unsaved === null) return report;
      const mend = `${unsaved}; make it writable, or no session goes on`;
      return { ...report, todo: state.todo === null ? mend : `${state.todo}; ${mend}` };
    } catch (error) {
      const why = messageOf(error);
      const missing = { available: false, version: null, binary: null, authenticated: 'unknown' } as const;
      return {
        ...base,
        ...missing,
        why,
        todo: `install ${provider.binaries.join(' or ')}, or name it in the settings`,
      };
    }
  }

  return () => Promise.all(providers.list().map(report));
}
