import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { messageOf } from '../errors.ts';
import type { Actor } from '../protocol/audit.ts';
import type { CallerLimits } from '../protocol/grant.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import { CHAT_TRANSITIONS, TERMINAL_TRANSITIONS, TURN_ENDS } from '../protocol/session-states.ts';
import { sharedDefinitions } from './script-text.ts';

/** The files in `scripts/`: one per step of the protocol. */
const SCRIPTS = [
  ...['create', 'recall', 'cancel', 'change', 'remove'],
  ...['session-create', 'session-open', 'session-close', 'session-remove'],
  ...['terminal-append', 'terminal-move', 'node-ask', 'node-take', 'node-answer'],
  ...['batch-open', 'batch-add', 'batch-read', 'batch-entries'],
  ...['submit', 'claim', 'give-back', 'peek', 'owned', 'renew', 'append', 'finish', 'adopt'],
  ...['enter', 'refuse', 'release', 'reserve', 'identify', 'hold', 'nodes', 'key-put', 'request', 'audit'],
  ...['approval-open', 'approval-decide', 'approval-park', 'approval-take', 'approval-withdraw'],
  ...['message-send', 'message-take', 'message-settle'],
  ...['join', 'migrate', 'sweep', 'removed', 'counts', 'expire', 'revoke', 'settle-lost', 'leave'],
] as const;
/** What scripts share, in this order. */
const COMMON = [
  ...(['prelude', 'events', 'limits', 'waiting', 'sessions', 'approvals', 'jobs', 'gates'] as const),
] as const;
export type ScriptName = (typeof SCRIPTS)[number];

const read = (name: string): string =>
  readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');

/** As long as the copies of its jobs are kept by default. */
const KEEP_SESSIONS_MS = 30 * 24 * 60 * 60 * 1000;

export interface ScriptSettings {
  readonly requestChannel: string;
  readonly responseChannel: string;
  /** How long Redis keeps a finished job, and the log. */
  readonly keepFinishedMs: number;
  /** How long it keeps a session without an open turn, at least. Default: 30 days. */
  readonly keepJobsMs?: number;
  /** Limits of projects and of JWTs. Default: none. */
  readonly callerLimits?: SettledLimits;
}

/** The limits that the settings have. */
export interface SettledLimits {
  readonly projects: Readonly<Record<string, Partial<CallerLimits>>>;
  /** Of each principal with a JWT. */
  readonly jwt: Partial<CallerLimits>;
}
export const NO_SETTLED_LIMITS: SettledLimits = { projects: {}, jwt: {} };

/** Arguments by name. null and false are not passed: the script reads nil. */
export type ScriptArguments = Readonly<Record<string, string | number | boolean | null>>;

export interface ScriptRunner {
  /**
   * Runs one script atomically.
   * @param list what follows the named arguments, as the script's header says
   * @throws AppError redis.unavailable when Redis cannot be reached, is loading, or takes no writes
   * @throws AppError redis.refused
   */
  run(name: ScriptName, args: ScriptArguments, list?: readonly (string | number)[]): Promise<unknown>;
}

/**
 * Runs the scripts by hash. A Redis that does not know a script (restart, flush) gets its text.
 * @param names the scripts that will be run. They are read now, because an upgrade in place may
 *   replace their files. Default: all.
 */
export function createScriptRunner(
  redis: Redis,
  prefix: string,
  settings: ScriptSettings,
  names: readonly ScriptName[] = SCRIPTS,
): ScriptRunner {
  const { callerLimits = NO_SETTLED_LIMITS } = settings;
  const constants = [
    `local REQUESTS = ${JSON.stringify(settings.requestChannel)}`,
    `local RESPONSES = ${JSON.stringify(settings.responseChannel)}`,
    `local KEEP_MS = ${settings.keepFinishedMs}`,
    `local KEEP_SESSIONS_MS = ${Math.max(settings.keepJobsMs ?? KEEP_SESSIONS_MS, settings.keepFinishedMs)}`,
    `local CHAT_TRANSITIONS = ${luaTable(CHAT_TRANSITIONS, (row) => luaTable(row, luaText))}`,
    `local TERMINAL_TRANSITIONS = ${luaTable(TERMINAL_TRANSITIONS, (row) => luaTable(row, luaText))}`,
    `local TURN_ENDS = ${luaTable(TURN_ENDS, luaText)}`,
    `local DEFAULT_PROJECT = ${JSON.stringify(DEFAULT_PROJECT)}`,
    `local PROJECT_LIMITS = ${luaTable(callerLimits.projects, luaTable)}`,
    `local JWT_LIMITS = ${luaTable(callerLimits.jwt)}`,
  ].join('\n');
  // Every key begins with this, so a Redis user whose rights are `~PREFIX:*` may name it.
  const key = `${prefix}:`;
  const shared = sharedDefinitions([constants, ...COMMON.map(read)].join('\n'));
  const texts = new Map(names.map((name) => [name, read(name)]));
  const scripts = new Map<ScriptName, { text: string; sha: string }>();
  /** The text of a script and its hash, which most processes need of few scripts. */
  const scriptOf = (name: ScriptName) => {
    const made = scripts.get(name);
    if (made !== undefined) return made;
    const own = texts.get(name);
    if (own === undefined) throw new TypeError(`there is no script ${name}`);
    const text = shared.textOf(own);
    const script = { text, sha: createHash('sha1').update(text).digest('hex') };
    scripts.set(name, script);
    return script;
  };

  return {
    async run(name, args, list = []) {
      const script = scriptOf(name);
      const values = [...namedArguments(args), ...list];
      try {
        return await redis.evalsha(script.sha, 1, key, ...values);
      } catch (error) {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
      }
      return redis.eval(script.text, 1, key, ...values);
    },
  };
}

const luaText = (text: string): string => JSON.stringify(text);

/** A table of Lua. What is null is left out. */
function luaTable<T>(fields: Readonly<Record<string, T>>, textOf: (value: T) => string = String): string {
  const set = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return `{${set.map(([name, value]) => `[${JSON.stringify(name)}]=${textOf(value)}`).join(',')}}`;
}

/** The arguments of `audit` in prelude.lua; null: no caller asked for the script. */
export const actorArguments = (by: Actor | null): ScriptArguments =>
  by === null ? {} : { by: by.id ?? '', byAddress: by.address, byRequest: by.requestId };

/** Arguments as `namedAt` of prelude.lua reads them: their count, then name and value of each. */
export function namedArguments(args: ScriptArguments): (string | number)[] {
  const out: (string | number)[] = [0];
  for (const [name, value] of Object.entries(args)) {
    if (value === null || value === false) continue;
    out.push(name, value === true ? 1 : value);
  }
  out[0] = (out.length - 1) / 2;
  return out;
}
