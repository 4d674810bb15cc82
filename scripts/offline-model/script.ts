import { type ErrorStep, type PlanUse, readScript, type Step } from './behaviour.ts';
import { defaultText, fillerText, pieces } from './pieces.ts';
import { sampleOf } from './sample.ts';
import type { Ask, Block, Failure, Turn } from './vendor.ts';

/** What to do with one request; `label` is the word for it in the record of requests. */
export type Resolution =
  | { readonly kind: 'turn'; readonly label: string; readonly turn: Turn; readonly used?: PlanUse }
  | { readonly kind: 'hang'; readonly label: string; readonly before: boolean; readonly released: Turn }
  | { readonly kind: 'failure'; readonly label: string; readonly failure: Failure };

/** How often each error step has refused, by step and conversation. */
export type Refusals = Map<string, number>;

/** The last text that a person wrote, and the turns that the model took since. */
export function lastPrompt(ask: Ask): { prompt: string; turns: number } {
  const index = ask.messages.findLastIndex((message) => message.role === 'user' && message.text !== '');
  const since = ask.messages.slice(index + 1);
  // Several assistant messages in a row are one turn: CLIs split a turn into its blocks.
  const turns = since.filter(
    (message, at) => message.role === 'assistant' && since[at - 1]?.role !== 'assistant',
  ).length;
  return { prompt: ask.messages[index]?.text ?? '', turns };
}

/**
 * Finds the step for this request. The place in the script follows from the conversation that the
 * client sends (turns since the prompt), so that retries, other sessions and the CLI's own requests
 * never move it; only `times=` is remembered.
 *
 * @param setting the script for prompts that carry none.
 * @throws DirectiveError when the prompt's directives cannot be read.
 */
export function resolve(ask: Ask, setting: readonly Step[], refusals: Refusals): Resolution {
  if (ask.own !== null) return { kind: 'turn', label: `own: ${ask.own}`, turn: ownTurn(ask) };
  const { steps: written, rest } = readScript(lastPrompt(ask).prompt);
  const all = written.length > 0 ? written : setting;
  const used = all.find((step) => step.kind === 'used');
  const script = all.filter((step) => step.kind !== 'used');
  const resolution = nextStep(ask, script, rest, refusals);
  return resolution.kind === 'turn' && used !== undefined ? { ...resolution, used } : resolution;
}

function nextStep(
  ask: Ask,
  script: readonly Exclude<Step, { kind: 'used' }>[],
  rest: string,
  refusals: Refusals,
): Resolution {
  const { prompt, turns } = lastPrompt(ask);
  const prelude: Block[] = [];
  let passed = 0;
  for (const [index, step] of script.entries()) {
    const due = passed >= turns;
    if (step.kind === 'say' || step.kind === 'think') {
      if (due) prelude.push({ kind: step.kind === 'say' ? 'text' : 'thinking', pieces: pieces(step.text) });
    } else if (step.kind === 'call') {
      if (due) prelude.push({ kind: 'tool', name: step.name, input: step.input });
    } else if (step.kind === 'error') {
      if (due && refuses(step, `${ask.conversation} ${prompt} ${turns} ${index}`, refusals))
        return failureOf(step);
    } else if (!due) {
      passed += 1;
    } else if (step.kind === 'hang') {
      return {
        kind: 'hang',
        label: step.before ? 'hang before' : 'hang',
        before: step.before,
        released: defaultTurn(ask, rest, turns),
      };
    } else {
      return {
        kind: 'turn',
        label: step.kind === 'tool' ? `tool ${step.name}` : step.kind,
        turn: turnOf(step, prelude),
      };
    }
  }
  if (prelude.length > 0) return { kind: 'turn', label: 'say', turn: { blocks: prelude, intervalMs: 0 } };
  return { kind: 'turn', label: 'default', turn: defaultTurn(ask, rest, turns) };
}

function refuses(step: ErrorStep, place: string, refusals: Refusals): boolean {
  if (step.times === null) return true;
  const key = step.key === null ? place : `key ${step.key}`;
  const count = refusals.get(key) ?? 0;
  if (count >= step.times) return false;
  refusals.set(key, count + 1);
  return true;
}

function failureOf(step: ErrorStep): Resolution {
  const failure = {
    status: step.status,
    message: `The offline model was told to answer ${step.status}.`,
    retryAfterSeconds: step.retryAfterSeconds,
    ...(step.limit === null ? {} : { limit: { name: step.limit, resetsInSeconds: step.resetsInSeconds } }),
  };
  return { kind: 'failure', label: `error ${step.status}`, failure };
}

function turnOf(
  step: Extract<Step, { kind: 'reply' | 'tool' | 'call' | 'slow' | 'long' }>,
  prelude: readonly Block[],
): Turn {
  switch (step.kind) {
    case 'reply':
      return { blocks: [...prelude, { kind: 'text', pieces: pieces(step.text) }], intervalMs: 0 };
    case 'tool':
    case 'call':
      return { blocks: [...prelude, { kind: 'tool', name: step.name, input: step.input }], intervalMs: 0 };
    case 'slow': {
      const words = Array.from({ length: step.tokens }, (_, index) => `word${index + 1} `);
      return { blocks: [...prelude, { kind: 'text', pieces: words }], intervalMs: step.intervalMs };
    }
    case 'long':
      return {
        blocks: [...prelude, { kind: 'text', pieces: pieces(fillerText(step.bytes)) }],
        intervalMs: 0,
      };
  }
}

function ownTurn(ask: Ask): Turn {
  const text = ask.structured === null ? 'ok' : JSON.stringify(sampleOf(ask.structured.schema));
  return { blocks: [{ kind: 'text', pieces: [text] }], intervalMs: 0 };
}

function defaultTurn(ask: Ask, said: string, turns: number): Turn {
  const tool = ask.structured?.tool ?? null;
  const last = ask.messages.findLast((message) => message.role === 'assistant');
  const called = turns > 0 && tool !== null && last?.tools.includes(tool) === true;
  if (ask.structured !== null && !called) {
    const sample = sampleOf(ask.structured.schema);
    if (tool === null) return { blocks: [{ kind: 'text', pieces: [JSON.stringify(sample)] }], intervalMs: 0 };
    // A tool's input is always an object: the CLI accepts no other schema for it.
    return {
      blocks: [{ kind: 'tool', name: tool, input: sample as Record<string, unknown> }],
      intervalMs: 0,
    };
  }
  return { blocks: [{ kind: 'text', pieces: pieces(defaultText(said)) }], intervalMs: 0 };
}
