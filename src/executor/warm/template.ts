import { join } from 'node:path';
import type { Launch } from '../../processes/launch.ts';
import { spawnProcess } from '../../processes/spawn.ts';
import type { PreparedExecution } from '../prepare.ts';
import { makeScratch } from '../start-cli.ts';
import { type Shape, stateOf } from './shape.ts';
import { createWaitingProcess, type WaitingProcess } from './waiting-process.ts';

/** How to start a process for prompts that are not known yet. */
export interface Template
  extends Pick<PreparedExecution, 'provider' | 'binary' | 'env' | 'cwd' | 'maxLineBytes' | 'maxTextBytes'> {
  readonly args: readonly string[];
  readonly opening: string;
  readonly shape: Shape;
}

/** The template of an execution; null when it can only be started with its prompt. */
export function templateOf(prepared: PreparedExecution): Template | null {
  const { provider, binary, env, cwd, maxLineBytes, maxTextBytes, shape, command } = prepared;
  const bound = { args: command.args, opening: command.opening ?? '' };
  return shape && { provider, binary, env, cwd, maxLineBytes, maxTextBytes, shape, ...bound };
}

/** Where a process that belongs to no execution yet lives. */
export interface Place {
  /** `<nodeId>/<id of its own>`, carried by all it starts. */
  readonly marker: string;
  readonly scratch: string;
}

export const placeOf = (nodeId: string, scratchDir: string, id: string): Place => ({
  marker: `${nodeId}/${id}`,
  scratch: join(scratchDir, id),
});

/**
 * Starts a process that waits for its prompt.
 * @returns it, and how what it reads stood before it began: what changes while it boots counts as later
 * @throws AppError when it cannot be started
 */
export async function bootProcess(
  { provider, binary, args, opening, env, cwd, maxLineBytes, maxTextBytes, shape }: Template,
  { marker, scratch }: Place,
  launch: Launch,
): Promise<{ process: WaitingProcess; state: string }> {
  const [state] = await Promise.all([stateOf(shape.reads), makeScratch(scratch)]);
  const child = await spawnProcess(
    {
      binary,
      args,
      env: { ...env, TMPDIR: scratch },
      cwd,
      stdin: opening,
      holdStdin: true,
      marker,
      maxLineBytes,
      maxTextBytes,
    },
    launch,
  );
  const isReady = opening === '' ? null : (provider.warmStart?.isReady ?? null);
  return { process: createWaitingProcess(child, isReady), state };
}
