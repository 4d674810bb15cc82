import type { Logger } from 'pino';
import type { Launch } from '../../processes/launch.ts';
import type { Reaper } from '../reaper.ts';
import type { BootTurns } from './boot-turns.ts';
import type { Room } from './room.ts';

export interface WarmPoolOptions {
  readonly idleMs: number;
  readonly room: Room;
  readonly launch: Launch;
  readonly reaper: Pick<Reaper, 'add'>;
  readonly nodeId: string;
  readonly scratchDir: string;
  /** How many may boot at once. */
  readonly cores: number;
  readonly turns: Pick<BootTurns, 'begin' | 'booting'>;
  newId(): string;
  /** Executions that run now. */
  running(): number;
  /** How much of the processors' time nobody uses, 0 to 1. */
  idleShare(): number;
  readonly logger: Logger;
}
