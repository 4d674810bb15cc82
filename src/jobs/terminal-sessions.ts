/** What differs for a session that is a terminal: it has a program instead of turns. */
import type { Principal } from '../auth/principal.ts';
import { AppError, messageOf } from '../errors.ts';
import type { Terminals } from '../http/session-ports.ts';
import type { SessionRequest, SessionStatus } from '../protocol/session.ts';
import type { NewSession } from '../records/session-ports.ts';
import type { TerminalHost } from '../terminals/ports.ts';
import type { PreparedTerminal, PrepareTerminal } from '../terminals/prepare.ts';

/** The parts of a new record that depend on the kind of its session. */
export interface GivenSession
  extends Pick<NewSession, 'kind' | 'name' | 'options' | 'fork' | 'node' | 'status' | 'tags' | 'metadata'>,
    Pick<NewSession, 'terminal'> {
  /** Left out: the caller's. */
  readonly project?: string;
  /** Starts what belongs to it, once it has a record. */
  begin?(id: string): Promise<void>;
}

export interface TerminalSessions {
  /** @throws AppError as `PrepareTerminal`; `begin` throws what prevents the start */
  given(principal: Principal, request: SessionRequest): Promise<GivenSession>;
  /** Sends SIGINT to what runs in the foreground. @throws AppError as `Terminals` */
  interrupt(principal: Principal, id: string): Promise<void>;
  /** Resolves when its program is gone. @throws AppError as `Terminals` */
  close(principal: Principal, id: string): Promise<void>;
  /** Removes its files, unless its node is away: then its retention does. */
  removeFiles(principal: Principal, id: string): Promise<void>;
}

/** Whether the program of a terminal is gone. */
export const isOver = (status: SessionStatus): boolean => status === 'closed' || status === 'failed';

export interface TerminalSessionsOptions {
  readonly terminals: Terminals;
  readonly prepareTerminal: PrepareTerminal;
  readonly terminalHost: Pick<TerminalHost, 'open'>;
  readonly nodeId: string;
}

export function createTerminalSessions({
  terminals,
  prepareTerminal,
  terminalHost,
  nodeId,
}: TerminalSessionsOptions): TerminalSessions {
  const begin = (id: string, { start }: PreparedTerminal): Promise<void> =>
    terminalHost.open(id, () =>
      start(id).catch((error: unknown) => {
        if (error instanceof AppError) throw error;
        const why = `a scratch folder cannot be made: ${messageOf(error)}`;
        throw new AppError('execution.resource_limit', why);
      }),
    );

  return {
    async given(principal, request) {
      const prepared = await prepareTerminal(principal, request);
      const { options, size: terminal } = prepared;
      return {
        ...{ kind: 'terminal', name: request.name ?? null, options, terminal, fork: null, node: nodeId },
        ...{ status: 'starting', tags: request.tags ?? [], metadata: request.metadata ?? {} },
        begin: (id) => begin(id, prepared),
      };
    },

    async interrupt(principal, id) {
      await terminals.ask(principal, id, { kind: 'signal', signal: 'INT', messageId: null });
    },

    async close(principal, id) {
      await unless(['terminal.over', 'session.not_found'], terminals.ask(principal, id, { kind: 'close' }));
    },

    async removeFiles(principal, id) {
      const gone = ['session.not_found', 'execution.node_unavailable'];
      await unless(gone, terminals.ask(principal, id, { kind: 'remove' }));
    },
  };
}

/** Waits for it. An error with one of these codes is as good as the end. */
export async function unless(codes: readonly string[], done: Promise<unknown>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!(error instanceof AppError && codes.includes(error.code))) throw error;
  }
}
