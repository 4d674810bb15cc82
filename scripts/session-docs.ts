/**
 * The tables of transitions in docs/sessions.md, made from those in the code. Pure:
 * `generate-docs.ts` writes them.
 */
import {
  CHAT_TRANSITIONS,
  SESSION_STATUSES,
  SESSION_TRIGGERS,
  type SessionStatus,
  TERMINAL_TRANSITIONS,
  TERMINAL_TRIGGERS,
} from '../src/protocol/session-states.ts';

/** @param page docs/sessions.md, whose parts between two marks are replaced */
export function withTransitions(page: string): string {
  const chats = withTable(page, 'transitions', SESSION_TRIGGERS, CHAT_TRANSITIONS);
  return withTable(chats, 'terminal transitions', TERMINAL_TRIGGERS, TERMINAL_TRANSITIONS);
}

function withTable<Trigger extends string>(
  page: string,
  name: string,
  triggers: readonly Trigger[],
  transitions: Readonly<Record<SessionStatus, Partial<Record<Trigger, SessionStatus>>>>,
): string {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error(`docs/sessions.md has lost the marks of its ${name}`);
  const rows = SESSION_STATUSES.map((status) => {
    const cells = triggers.map((trigger) => {
      const next = transitions[status][trigger] ?? status;
      return next === status ? '' : `\`${next}\``;
    });
    return `| \`${status}\` | ${cells.join(' | ')} |`;
  });
  const head = `| status | ${triggers.map((trigger) => `\`${trigger}\``).join(' | ')} |`;
  const line = `|${'---|'.repeat(triggers.length + 1)}`;
  return `${before}${begin}\n${[head, line, ...rows].join('\n')}\n${end}${after}`;
}
