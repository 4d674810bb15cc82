/**
 * What a process is bound to from its start: an idle process may only run a job that would have
 * started it in exactly the same way.
 */
import { stat } from 'node:fs';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Launch } from '../../processes/launch.ts';
import { spawnProcess } from '../../processes/spawn.ts';
import type { ProbedCli } from '../cli-probe.ts';
import type { PreparedExecution } from '../prepare.ts';
import { makeScratch } from '../start-cli.ts';
import { createIdleProcess, type IdleProcess } from './idle-process.ts';

export interface ProcessShape {
  /** Two executions have the same key if their processes differ in nothing but the prompt. */
  readonly key: string;
  /** Absolute paths of the files that the process reads while it boots. */
  readonly files: readonly string[];
}

type ShapeSource = Pick<PreparedExecution, 'provider' | 'command' | 'env' | 'cwd'> & {
  readonly cli: Pick<ProbedCli, 'binary' | 'identity'>;
};

/** null when the process must be started with its prompt. */
export function shapeOf(
  { provider, cli, command, env, cwd }: ShapeSource,
  maxLineBytes: number,
): ProcessShape | null {
  const { warmStart, login } = provider;
  // A file in the scratch folder belongs to one execution.
  if (warmStart === undefined || command.files !== undefined) return null;
  const home = [...warmStart.reads.home, ...login.files].map(({ variable, home, name }) =>
    join((variable === null ? undefined : env[variable]) ?? join(env['HOME'] ?? '/', home), name),
  );
  const environment = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    key: JSON.stringify([
      provider.name,
      cli.binary,
      cli.identity,
      command.args,
      command.opening ?? '',
      environment,
      cwd,
      maxLineBytes,
    ]),
    files: [cli.binary, ...warmStart.reads.workspace.map((path) => join(cwd, path)), ...home],
  };
}

/** Changes when one of these files changes, appears or disappears. */
export async function fingerprintOf(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map(stateOf))).join(' ');
}

/** By callback: the promises of `fs` cost a third more, and each job needs this for 30 files. */
const stateOf = (file: string): Promise<string> =>
  new Promise((resolve) => {
    stat(file, (error, found) => {
      // An error: it is missing, or not readable for us and so not for a CLI of ours.
      resolve(error === null ? `${found.ino}:${found.size}:${found.mtimeMs}` : '-');
    });
  });

/** How to start a process for prompts that are not known yet. */
export interface BootSpec
  extends Pick<PreparedExecution, 'provider' | 'binary' | 'env' | 'cwd' | 'maxLineBytes' | 'maxTextBytes'> {
  readonly args: readonly string[];
  readonly opening: string;
  readonly shape: ProcessShape;
}

/** null when the process must be started with its prompt. */
export function bootSpecOf(prepared: PreparedExecution): BootSpec | null {
  const { provider, binary, env, cwd, maxLineBytes, maxTextBytes, shape, command } = prepared;
  const { args, opening = '' } = command;
  return shape && { provider, binary, env, cwd, maxLineBytes, maxTextBytes, shape, args, opening };
}

/**
 * Starts an idle process. Its fingerprint is from before the start: a file that changes during the
 * boot counts as changed.
 * @throws AppError when it cannot be started
 */
export async function bootIdleProcess(
  spec: BootSpec,
  place: { readonly marker: string; readonly scratch: string },
  launch: Launch,
): Promise<{ process: IdleProcess; fingerprint: string }> {
  const { marker, scratch } = place;
  const [fingerprint] = await Promise.all([fingerprintOf(spec.shape.files), makeScratch(scratch)]);
  const request = {
    binary: spec.binary,
    args: spec.args,
    env: { ...spec.env, TMPDIR: scratch },
    cwd: spec.cwd,
    stdin: spec.opening,
    holdStdin: true,
    marker,
    maxLineBytes: spec.maxLineBytes,
    maxTextBytes: spec.maxTextBytes,
  };
  const child = await spawnProcess(request, launch);
  const isReady = spec.opening === '' ? null : (spec.provider.warmStart?.isReady ?? null);
  return { process: createIdleProcess({ child, scratch, isReady }), fingerprint };
}

const PAUSE_MS = 60_000;
const FAILURES_IN_A_ROW = 3;
const MAX_SHAPES = 100;

/** Counts the useless processes of each shape. After three in a row, the shape is paused. */
export interface ShapeFailures {
  /** A process of this shape was useless. */
  add(key: string): void;
  /** A process of this shape got its job. */
  clear(key: string): void;
  isPaused(key: string): boolean;
}

export function createShapeFailures(now: () => number = () => performance.now()): ShapeFailures {
  const failures = new LRUCache<string, { count: number; pausedUntil: number }>({ max: MAX_SHAPES });
  return {
    add(key) {
      const count = (failures.peek(key)?.count ?? 0) + 1;
      failures.set(key, { count, pausedUntil: count >= FAILURES_IN_A_ROW ? now() + PAUSE_MS : 0 });
    },
    clear: (key) => void failures.delete(key),
    isPaused(key) {
      const pausedUntil = failures.peek(key)?.pausedUntil ?? 0;
      if (pausedUntil === 0) return false;
      if (pausedUntil > now()) return true;
      failures.delete(key);
      return false;
    },
  };
}
