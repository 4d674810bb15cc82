/**
 * Settings as the servers before Bullpen wrote them, turned into Bullpen's. The text of the
 * environment and the content of the file come in as they were read; nothing is checked here.
 */
import type { Problem } from '../errors.ts';
import { FORMER_PROVIDERS, type PROCESS_LIMITS, ProviderSettings } from '../protocol/provider-settings.ts';

type Mapping = Record<string, unknown>;

const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** How the CLI was run: headless or in a terminal. Jobs are always run headless. */
const FORMER_MODES: readonly unknown[] = ['cli', 'interactive'];

/**
 * The providers' part of the file. An entry like `claude_cli: {mode: cli, binary, args}` is one of
 * a built-in provider, or a command of its own, which then belongs to `custom`.
 */
export function readProviders(given: unknown, problems: Problem[]): unknown {
  if (!isMapping(given)) return given;
  const { custom } = given;
  const providers = new Map<string, unknown>();
  const commands = new Map<string, unknown>();
  for (const [written, entry] of Object.entries(given)) {
    const hyphenated = written.replaceAll('_', '-');
    const name = FORMER_PROVIDERS.get(hyphenated) ?? hyphenated;
    const isCommand = !isBuiltIn(name) && hasFormerMode(entry);
    const target = isCommand ? commands : providers;
    // A name that is not known stays as it was written, and is refused.
    const key = isCommand || isBuiltIn(name) ? name : written;
    if (target.has(key) || (isCommand && isMapping(custom) && key in custom))
      problems.push({ path: `providers.${written}`, message: `${key} is there already` });
    target.set(key, hasFormerMode(entry) ? withoutMode(entry) : entry);
  }
  if (commands.size > 0)
    providers.set('custom', { ...Object.fromEntries(commands), ...(isMapping(custom) && custom) });
  return Object.fromEntries(providers);
}

const isBuiltIn = (name: string): boolean => Object.hasOwn(ProviderSettings.properties, name);

const hasFormerMode = (entry: unknown): entry is Mapping =>
  isMapping(entry) && FORMER_MODES.includes(entry['mode']);

function withoutMode({ mode: _, ...rest }: Mapping): Mapping {
  return rest;
}

/** Names in the block of limits, and what they are in Bullpen's units. */
const FORMER_LIMITS: Readonly<Record<string, readonly [name: string, factor: number]>> = {
  max_processes: ['maxProcesses', 1],
  idle_timeout: ['idleTimeoutMs', 1000],
};

export function readProcessLimits(given: unknown): unknown {
  if (!isMapping(given)) return given;
  return Object.fromEntries(
    Object.entries(given).map(([written, value]) => {
      const [name, factor] = FORMER_LIMITS[written] ?? [written, 1];
      return [name, typeof value === 'number' ? value * factor : value];
    }),
  );
}

/** The settings with the values of the block. */
export function settingsOfLimits(block: Readonly<Record<keyof typeof PROCESS_LIMITS, number>>): Mapping {
  const { maxProcesses, idleTimeoutMs, maxMemoryBytes, maxCpuPercent, cpuWindowMs } = block;
  return {
    concurrency: maxProcesses,
    idleTimeoutMs,
    warmIdleMs: idleTimeoutMs,
    sessionIdleMs: idleTimeoutMs,
    maxMemoryBytes,
    maxCpuPercent,
    cpuWindowMs,
    maxOpenFiles: block.maxOpenFiles,
    timeoutMs: block.timeoutMs,
  };
}

/** How the parts of the system were arranged, and where CLIs run then. */
const FORMER_ARRANGEMENTS: Readonly<Record<string, string>> = { modular: 'http', monolithic: 'local' };

/** The value of ARCH_MODE as one of BULLPEN_EXECUTOR. */
export function readArrangement(given: string, problems: Problem[]): string | undefined {
  if (Object.hasOwn(FORMER_ARRANGEMENTS, given)) return FORMER_ARRANGEMENTS[given];
  const message = 'must be modular (BULLPEN_EXECUTOR=http) or monolithic (BULLPEN_EXECUTOR=local)';
  problems.push({ path: 'executor (ARCH_MODE)', message });
  return undefined;
}

/** A Redis URL with the password of REDIS_PASSWORD, when it has none. */
export function withPassword(url: unknown, password: string | undefined): unknown {
  if (typeof url !== 'string' || password === undefined || password === '') return url;
  const parsed = URL.parse(url);
  if (parsed === null || parsed.password !== '') return url;
  parsed.password = encodeURIComponent(password);
  return parsed.href;
}
