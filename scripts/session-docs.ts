/**
 * The table of transitions in docs/sessions.md, made from the one in the code. Pure:
 * `generate-docs.ts` writes it.
 */
import { CHAT_TRANSITIONS, SESSION_STATUSES, SESSION_TRIGGERS } from '../src/protocol/session-states.ts';

const BEGIN = '<!-- transitions: begin -->';
const END = '<!-- transitions: end -->';

/** @param page docs/sessions.md, whose part between the two marks is replaced */
export function withTransitions(page: string): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined)
    throw new Error('docs/sessions.md has lost the marks of its transitions');
  const rows = SESSION_STATUSES.map((status) => {
    const cells = SESSION_TRIGGERS.map((trigger) => {
      const next = CHAT_TRANSITIONS[status][trigger] ?? status;
      return next === status ? '' : `\`${next}\``;
    });
    return `| \`${status}\` | ${cells.join(' | ')} |`;
  });
  const head = `| status | ${SESSION_TRIGGERS.map((trigger) => `\`${trigger}\``).join(' | ')} |`;
  const line = `|${'---|'.repeat(SESSION_TRIGGERS.length + 1)}`;
  return `${before}${BEGIN}\n${[head, line, ...rows].join('\n')}\n${END}${after}`;
}
