/** Decides what a terminal starts, and whether its maker may start that. */
import { join } from 'node:path';
import { mayUse, type Principal } from '../auth/principal.ts';
import type { Settings } from '../config/schema.ts';
import { AppError } from '../errors.ts';
import { type CliProbe, withFolder } from '../executor/cli-probe.ts';
import { denied, type PermitOptions, permitIn, unkeptError } from '../executor/permit.ts';
import type { PrivatePaths } from '../executor/private-paths.ts';
import { makeScratch } from '../executor/start-cli.ts';
import type { UntrustedEnvironment } from '../executor/untrusted-environment.ts';
import type { PermissionMode } from '../protocol/prompt.ts';
import type { SessionRequest } from '../protocol/session.ts';
import { DEFAULT_SIZE, type TerminalSize } from '../protocol/terminal.ts';
import { buildEnvironment } from '../providers/environment.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import type { SessionOptions } from '../records/session-ports.ts';
import type { Workspace } from '../workspace.ts';
import type { NewTerminal } from './ports.ts';

type Environment = Readonly<Record<string, string>>;

/** A terminal whose maker may start it. */
export interface PreparedTerminal {
  /** For its record. */
  readonly options: SessionOptions;
  readonly size: TerminalSize;
  /** Makes its scratch folder. Call it once its session has a record. */
  start(sessionId: string): Promise<NewTerminal>;
}

/**
 * @throws AppError auth.forbidden, terminal.disabled, terminal.command_unknown, tools.denied,
 *   provider.denied, provider.unknown, provider.unsupported_option, permission_mode.denied,
 *   cwd.not_allowed, execution.cli_missing
 */
export type PrepareTerminal = (principal: Principal, request: SessionRequest) => Promise<PreparedTerminal>;

export interface TerminalPrepareOptions {
  readonly settings: PermitOptions['settings'] &
    Pick<Settings, 'terminals' | 'provider' | 'model' | 'cwd' | 'passEnv'>;
  /** The server's own environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly providers: Pick<Providers, 'get'>;
  readonly probe: Pick<CliProbe, 'find'>;
  /** The environment of a provider's CLI. */
  environment(provider: string, set: Environment): Environment;
  readonly untrusted: UntrustedEnvironment;
  readonly privatePaths: PrivatePaths;
  /** Has one scratch folder per terminal. */
  readonly scratchDir: string;
  newExecutionId(): string;
}

/** What runs on it: a CLI, or a command of the settings. */
interface Program {
  readonly name: string;
  readonly options: Omit<SessionOptions, 'provider' | 'cwd'>;
  readonly permissionMode: PermissionMode;
  /** Finds the file. @throws AppError execution.cli_missing */
  find(): ReturnType<CliProbe['find']>;
  /** @throws AppError provider.unsupported_option */
  command(place: { readonly workspace: Workspace; readonly scratchDir: string }): Promise<{
    readonly args: readonly string[];
    readonly env: Environment;
    readonly files?: Readonly<Record<string, string>>;
    readonly screens: NewTerminal['screens'];
  }>;
}

/** What programs need to know of a terminal; over what the server's own environment says. */
const OF_TERMINAL = { TERM: 'xterm-256color', COLORTERM: 'truecolor' } as const;
/** Where the server's own environment names none: what is typed is UTF-8. */
const UTF8 = 'C.UTF-8';

export function createTerminalPreparer(given: TerminalPrepareOptions): PrepareTerminal {
  const { settings, env: source, providers, probe, environment, untrusted, privatePaths, scratchDir } = given;

  function commandOf(name: string, { grant }: Principal): Program {
    const command = Object.hasOwn(settings.terminals.commands, name)
      ? settings.terminals.commands[name]
      : undefined;
    if (command === undefined) {
      const known = Object.keys(settings.terminals.commands).join(', ') || 'none';
      const message = `the settings have no command ${JSON.stringify(name)}; they have: ${known}`;
      throw denied('terminal.command_unknown', '/command', message);
    }
    if (grant.providers !== null) {
      const message = `no command is allowed here; allowed: ${grant.providers.join(', ')}`;
      throw denied('provider.denied', '/command', message);
    }
    // A command asks before nothing that it does.
    if (grant.permissionModes?.includes('fullAccess') === false) {
      const message = `no command is allowed here; allowed: ${grant.permissionModes.join(', ')}`;
      throw denied('permission_mode.denied', '/command', message);
    }
    const names = [...command.env, ...settings.passEnv];
    return {
      ...{ name, options: { command: name }, permissionMode: 'default' },
      find: () => probe.find({ binaries: [command.binary] }, null),
      async command() {
        return { args: command.args, env: buildEnvironment({ source, names, set: {} }), screens: [] };
      },
    };
  }

  function cliOf({ provider, binary, defaults }: RegisteredProvider, request: SessionRequest): Program {
    const { name, interactive } = provider;
    if (interactive === undefined)
      throw unkeptError(name, [{ option: 'provider', reason: `${name} has no interactive mode` }]);
    const permissionMode = request.permissionMode ?? defaults.mode;
    const { effort = null, appendSystemPrompt = null } = request;
    const model = request.model ?? defaults.model ?? (provider.capabilities.model ? settings.model : null);
    return {
      ...{ name, permissionMode },
      options: {
        ...{ permissionMode, ...(model !== null && { model }), ...(effort !== null && { effort }) },
        ...(appendSystemPrompt !== null && { appendSystemPrompt }),
      },
      find: () => probe.find(provider, binary),
      async command({ workspace: { cwd, trusted }, scratchDir }) {
        const options = {
          ...{ model, effort, permissionMode, appendSystemPrompt, cwd, scratchDir },
          ...{ trustedWorkspace: trusted, privatePaths: await privatePaths(provider, cwd) },
        };
        const unkept = interactive.unsupported(options);
        if (unkept.length > 0) throw unkeptError(name, unkept);
        const { args, env, files = {} } = interactive.command(options);
        return { args, env: environment(name, env), files, screens: interactive.screens };
      },
    };
  }

  return async (principal, request) => {
    if (!mayUse(principal, 'terminals'))
      throw new AppError('auth.forbidden', 'this needs a token with the scope terminals');
    if (!settings.terminals.enabled)
      throw new AppError('terminal.disabled', 'terminals.enabled in the settings file is false');
    const { grant } = principal;
    if (grant.tools !== null)
      throw denied('tools.denied', '/kind', 'a terminal is not allowed here, because it allows every tool');
    const program =
      request.command === undefined
        ? cliOf(providers.get(request.provider ?? settings.provider), request)
        : commandOf(request.command, principal);
    const { name, permissionMode } = program;
    const asked = { permissionMode, allowedTools: [], cwd: request.cwd ?? settings.cwd };
    // The limits of permission modes and providers of a command are checked above.
    const grants = [
      request.command === undefined ? grant : { ...grant, providers: null, permissionModes: null },
    ];
    const workspace = await permitIn(asked, { principal: principal.id, grants }, name, { settings });
    const executionId = given.newExecutionId();
    const scratch = join(scratchDir, executionId);
    const [{ binary, extraFolder }, { args, env, files = {}, screens }] = await Promise.all([
      program.find(),
      program.command({ workspace, scratchDir: scratch }),
    ]);
    const { cwd, trusted } = workspace;
    const size = { cols: request.cols ?? DEFAULT_SIZE.cols, rows: request.rows ?? DEFAULT_SIZE.rows };
    const plain = { LANG: UTF8, ...withFolder(env, extraFolder), ...OF_TERMINAL, TMPDIR: scratch };
    const whole = trusted ? plain : await untrusted(cwd, plain);
    return {
      ...{ options: { ...program.options, provider: name, cwd }, size },
      async start(sessionId) {
        await makeScratch(scratch, files);
        const launch = { binary, args, env: whole, cwd };
        return { sessionId, executionId, provider: name, launch, scratch, size, screens };
      },
    };
  };
}
