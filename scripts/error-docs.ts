/**
 * The table of error codes in docs/api.md, made from the one in the code. Pure: `generate-docs.ts`
 * writes it.
 */
import { ERROR_CODES } from '../src/errors.ts';

const BEGIN = '<!-- error codes: begin -->';
const END = '<!-- error codes: end -->';

/** @param page docs/api.md, whose part between the two marks is replaced */
export function withErrorCodes(page: string): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined)
    throw new Error('docs/api.md has lost the marks of its error codes');
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { status, retryable, title }]) =>
      `| \`${code}\` | ${status} | ${retryable ? 'yes' : ''} | ${title} |`,
  );
  const table = ['| code | status | retryable | meaning |', '|---|---|---|---|', ...rows].join('\n');
  return `${before}${BEGIN}\n${table}\n${END}${after}`;
}
