import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { maybe } from './api-usage.ts';

/**
 * Tools that only make sense for a process that stays after its answer. Not offered to a job that does not wait.
 * `Monitor` and tasks in the background are: the agent may use them while it works on the prompt.
 */
export const LATER_TOOLS: readonly string[] = ['ScheduleWakeup', 'CronCreate', 'CronDelete', 'CronList'];
const WAKE_UP = 'ScheduleWakeup';

const task = Compile(Type.Object({ task_id: maybe(Type.String()), description: maybe(Type.String()) }));
const wakeUp = Compile(Type.Object({ scheduledFor: Type.Number() }));
const command = Compile(Type.Object({ command: Type.String() }));

const MAX_NAME = 200;
const MAX_NAMES = 20;

/** The fold over what goes on behind an answer. */
export interface Background {
  /** The tasks that run now. */
  running(tasks: readonly unknown[]): void;
  /** A task came from this call of a tool. */
  started(taskId: string, toolInput: unknown): void;
  /** A tool has answered; `result` is the CLI's own account of it. */
  toolEnded(tool: string | null, result: unknown): void;
  /** A turn begins at a wake-up. */
  woke(): void;
  /** Names for a person; empty when nothing goes on. */
  names(): readonly string[];
}

/** Starts empty. */
export function createBackground(): Background {
  const commands = new Map<string, string>();
  let tasks: readonly unknown[] = [];
  /** When the process wakes up, in ms since 1970; a new wake-up replaces the one before. */
  let wakesAt: number | null = null;

  function nameOf(found: unknown): string {
    const { task_id: id, description } = task.Check(found) ? found : {};
    const ran = commands.get(id ?? '');
    const name = description || ran || 'a task';
    return (ran === undefined || ran === name ? name : `${name} (${ran})`).slice(0, MAX_NAME);
  }

  return {
    running(now) {
      tasks = now;
    },
    started(taskId, toolInput) {
      if (command.Check(toolInput)) commands.set(taskId, toolInput.command);
    },
    toolEnded(tool, result) {
      if (tool === WAKE_UP) wakesAt = wakeUp.Check(result) ? result.scheduledFor : null;
    },
    woke() {
      wakesAt = null;
    },
    names() {
      const date = wakesAt === null ? null : new Date(wakesAt);
      const at = date === null || Number.isNaN(date.getTime()) ? 'later' : `at ${date.toISOString()}`;
      return [...tasks.slice(0, MAX_NAMES).map(nameOf), ...(wakesAt === null ? [] : [`a wake-up ${at}`])];
    },
  };
}
