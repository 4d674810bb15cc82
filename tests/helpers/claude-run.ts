/** One run of the real claude by our provider, with the offline model and without a server. */
import { randomUUID } from 'node:crypto';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import type { ClaudeHome, ClaudeRun } from '../../scripts/offline-model/run-claude.ts';
import { type ClaudeTalk, talkToClaude } from '../../scripts/offline-model/talk-claude.ts';
import type { Decision } from '../../src/protocol/approval.ts';
import type { ExecutionEvent } from '../../src/protocol/event.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { createClaudeProvider } from '../../src/providers/claude/provider.ts';
import type { Ask, ControlContext } from '../../src/providers/control.ts';
import type { CommandContext, Translator, Verdict } from '../../src/providers/provider.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

export interface ClaudeRunOptions {
  readonly baseUrl: string;
  readonly home: ClaudeHome;
  readonly request?: Partial<ResolvedPrompt>;
  readonly context?: Partial<CommandContext> & Partial<ControlContext>;
  /** Each ask gets this denial at once. Left out: `ask` returns them. */
  readonly denial?: string;
  /** Further arguments, as in the settings. */
  readonly args?: readonly string[];
}

export interface RunByProvider extends AsyncDisposable {
  readonly lines: readonly string[];
  readonly events: readonly ExecutionEvent[];
  readonly translator: Translator;
  /** Ids of messages that the CLI has taken, and of calls that it has withdrawn. */
  readonly taken: readonly string[];
  readonly withdrawn: readonly string[];
  /** The next ask. Rejects when the CLI exits before. */
  ask(): Promise<Ask>;
  decide(ask: Ask, decision: Decision): void;
  allow(ask: Ask, input?: unknown, rules?: readonly string[]): void;
  deny(ask: Ask, message: string): void;
  park(ask: Ask, approvalId: string): 'deferred' | 'granted';
  steer(id: string, text: string): boolean;
  interrupt(): void;
  /** The first line not yet read that fits. */
  until: ClaudeTalk['until'];
  /** Resolves when the run is over (`answered`), or with the problem of its control. */
  over(): Promise<string | null>;
  /** Closes stdin when the run is over, as the executor does. */
  end(): Promise<ClaudeRun & { readonly verdict: Verdict; readonly nativeSessionId: string }>;
  kill(): Promise<ClaudeRun>;
}

export function runByProvider({
  baseUrl,
  home,
  request: changed = {},
  context = {},
  args = [],
  denial,
}: ClaudeRunOptions): RunByProvider {
  const provider = createClaudeProvider(
    builtInOptions({ args: [...args], runningAsRoot: true, sandboxMarker: true }),
  );
  const request = resolvedPrompt({ cwd: home.workspace, onPermissionDenied: 'ask', ...changed });
  // claude passes over a message whose id its session has.
  const promptId = randomUUID();
  const command = provider.command(request, {
    nativeSessionId: null,
    trustedWorkspace: true,
    scratchDir: home.home,
    promptId,
    ...context,
  });
  const { known = [], resumesCall = false } = context;
  const control = provider.control?.(request, { promptId, known, resumesCall });
  if (control === undefined) throw new Error('claude has no control');
  const translator = provider.translator(request, { promptId });
  const asks: Ask[] = [];
  const events: ExecutionEvent[] = [];
  const taken: string[] = [];
  const withdrawn: string[] = [];
  let problem: string | null = null;
  const talk = talkToClaude({
    baseUrl,
    home,
    args: command.args,
    env: { IS_SANDBOX: '1', ...command.env },
    onLine(line) {
      const step = control.line(line);
      if (step.write !== '') talk.write(step.write);
      if (denial === undefined) asks.push(...step.asks);
      else
        for (const { callId } of step.asks)
          talk.write(control.decide(callId, { decision: 'deny', message: denial }));
      taken.push(...step.taken);
      withdrawn.push(...step.withdrawn);
      if (step.problem !== null) problem = `${step.problem.code}: ${step.problem.message}`;
      events.push(...translator.line(line));
    },
  });
  talk.write((command.opening ?? '') + command.stdin);

  const decide = (ask: Ask, decision: Decision): void => talk.write(control.decide(ask.callId, decision));
  const over = async (): Promise<string | null> => {
    while (translator.answered !== true && problem === null) await talk.until(() => true);
    return problem;
  };
  return {
    lines: talk.lines,
    events,
    translator,
    taken,
    withdrawn,
    until: talk.until,
    async ask() {
      for (;;) {
        const next = asks.shift();
        if (next !== undefined) return next;
        await talk.until(() => true);
      }
    },
    decide,
    allow: (ask, input = ask.input, rules = []) => decide(ask, { decision: 'allow', input, rules }),
    deny: (ask, message) => decide(ask, { decision: 'deny', message }),
    park(ask, approvalId) {
      const { write, waits } = control.park(ask.callId, approvalId);
      talk.write(write);
      return waits;
    },
    steer(id, text) {
      const message = control.steer({ id, text });
      if (message === null) return false;
      translator.joined?.(id);
      talk.write(message);
      return true;
    },
    interrupt: () => talk.write(control.interrupt() ?? ''),
    over,
    async end() {
      await over();
      const run = await talk.close();
      const verdict = translator.end({ code: run.code, signal: run.signal }, run.stderr);
      return { ...run, verdict, nativeSessionId: verdict.nativeSessionId ?? '' };
    },
    kill: () => talk.kill('SIGKILL'),
    [Symbol.asyncDispose]: () => talk[Symbol.asyncDispose](),
  };
}
