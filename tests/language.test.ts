/** Plain English: lines that fit, and none of the words that made sentences hard to read. */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * Words without a clear subject or meaning. Say who does what: "the executor", "reports", "kills".
 */
const UNCLEAR =
  /\b(nobody|whoever|whatever|whichever|somebody|anybody|hears?|heard|told|tells|stands|thrice|anew|mends?|mended|mint|hasten|nowhere|for ever|any more|passed over|handed on|hands on|what it left|lest)\b/i;
const MAX_COMMENT = 100;
const MAX_MARKDOWN = 120;
const COMMENT = /^\s*(\/\/|\*|\/\*|--)/;

interface Line {
  /** `docs/api.md:12` */
  readonly place: string;
  readonly text: string;
}

function linesOf(folders: readonly string[], extensions: readonly string[]): Line[] {
  return folders
    .flatMap((folder) =>
      folder.includes('.')
        ? [join(ROOT, folder)]
        : readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile() && extensions.includes(extname(entry.name)))
            .map((entry) => join(entry.parentPath, entry.name)),
    )
    .filter((file) => !/node_modules|\/fixtures\//.test(file))
    .flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .map((text, index) => ({ place: `${relative(ROOT, file)}:${index + 1}`, text })),
    );
}

const code = linesOf(['src', 'workers', 'scripts', 'tests'], ['.ts', '.js', '.lua']);
const product = code.filter(({ place }) => /^(src|workers)\//.test(place));
const markdown = linesOf(['docs', 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'], ['.md']);

describe('the language', () => {
  it('has lines to read', () => {
    expect(product.length).toBeGreaterThan(10_000);
    expect(markdown.length).toBeGreaterThan(500);
  });

  it('of the product and its documents has no unclear word', () => {
    const found = [...product, ...markdown].filter(({ text }) => UNCLEAR.test(text));
    expect(found.map(({ place, text }) => `${place} ${UNCLEAR.exec(text)?.[0]}`)).toEqual([]);
  });

  it(`of comments has lines of at most ${MAX_COMMENT} columns`, () => {
    const long = code.filter(({ text }) => COMMENT.test(text) && text.length > MAX_COMMENT);
    expect(long.map(({ place }) => place)).toEqual([]);
  });

  it(`of documents has lines of at most ${MAX_MARKDOWN} columns, except tables and code`, () => {
    let inCode = false;
    const long = markdown.filter(({ text }) => {
      if (text.startsWith('```')) inCode = !inCode;
      return !inCode && !/^\s*[|!]/.test(text) && text.length > MAX_MARKDOWN;
    });
    expect(long.map(({ place }) => place)).toEqual([]);
  });
});
