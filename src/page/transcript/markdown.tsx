/**
 * Markdown of agents as elements. Only what marked's lexer finds becomes an element: HTML stays
 * text, images are links, and links go to http and https only.
 */
import { lexer, type MarkedToken, type Token, type Tokens } from 'marked';
import type { ComponentChildren } from 'preact';
import { memo } from 'preact/compat';
import { useRef } from 'preact/hooks';
import { CopyButton } from '../ui/copy.tsx';
import { type Blocks, blocksOf } from './blocks.ts';
import { Clipped } from './clipped.tsx';
import { visibleText } from './hostile.ts';
import './markdown.css';

/** A block that is longer is shown as it is: the lexer may take long for text made to do that. */
const MAX_BLOCK = 16_000;
/** A text that is longer is shown as it is. */
const MAX_TEXT = 400_000;
const MAX_DEPTH = 12;

export function Markdown({ text }: { readonly text: string }) {
  const read = useRef<Blocks | null>(null);
  if (text.length > MAX_TEXT) return <Clipped text={visibleText(text)} />;
  if (read.current?.text !== text) read.current = blocksOf(text, read.current);
  return (
    <div class="markdown">
      {read.current.blocks.map((block, index) => (
        <Block key={index} text={block} />
      ))}
    </div>
  );
}

const Block = memo(({ text: given }: { readonly text: string }) => {
  const text = visibleText(given);
  const tokens = text.length <= MAX_BLOCK ? tokensOf(text) : null;
  if (tokens !== null) return <>{blockTokens(tokens, 0)}</>;
  const isFenced = /^[ \t]*(`{3,}|~{3,})/.test(text);
  return <Clipped text={isFenced ? text.replace(/^.*\n/, '').replace(/\n[ \t]*[`~]{3,}\s*$/, '') : text} />;
});

/** Null: the lexer calls itself too often for what is nested in it. */
function tokensOf(text: string): readonly Token[] | null {
  try {
    return lexer(text);
  } catch {
    return null;
  }
}

const blockTokens = (tokens: readonly Token[], depth: number): ComponentChildren =>
  tokens.map((token) => blockElement(token, depth));

function blockElement(given: Token, depth: number): ComponentChildren {
  const token = given as MarkedToken; // as: no extension makes other tokens
  if (depth > MAX_DEPTH) return <p>{token.raw}</p>;
  switch (token.type) {
    case 'space':
      return null;
    case 'hr':
      return <hr />;
    case 'heading':
      // One level for all: what is above a text in the page is of the second.
      return (
        <h3 dir="auto" class={`depth-${token.depth}`}>
          {inline(token.tokens, depth)}
        </h3>
      );
    case 'paragraph':
      return <p dir="auto">{inline(token.tokens, depth)}</p>;
    case 'text':
      return <>{inlineOr(token, depth)}</>;
    case 'code':
      return <Code text={token.text} language={token.lang ?? ''} />;
    case 'blockquote':
      return <blockquote dir="auto">{blockTokens(token.tokens, depth + 1)}</blockquote>;
    case 'list':
      return <List list={token} depth={depth} />;
    case 'table':
      // The lexer leaves out the cells of a row that has more of them than the head.
      return hasMoreCells(token) ? <p>{token.raw}</p> : <Table table={token} depth={depth} />;
    default:
      return <p>{token.raw}</p>;
  }
}

function List({ list, depth }: { readonly list: Tokens.List; readonly depth: number }) {
  const rows = list.items.map((item, index) => (
    <li key={index} class={item.task ? 'task' : undefined}>
      {item.task && <input type="checkbox" checked={item.checked === true} disabled aria-label="done" />}
      {blockTokens(
        item.tokens.filter(({ type }) => type !== 'checkbox'),
        depth + 1,
      )}
    </li>
  ));
  return list.ordered ? (
    <ol dir="auto" start={list.start === '' ? 1 : list.start}>
      {rows}
    </ol>
  ) : (
    <ul dir="auto">{rows}</ul>
  );
}

const hasMoreCells = ({ raw, header }: Tokens.Table): boolean =>
  raw.split('\n').some(
    (row) =>
      row
        .trim()
        .replace(/^\||(?<!\\)\|$/g, '')
        .split(/(?<!\\)\|/).length > header.length,
  );

function Table({ table, depth }: { readonly table: Tokens.Table; readonly depth: number }) {
  const look = (align: string | null) => (align === 'right' ? 'number' : undefined);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="scroll-x" tabIndex={0} aria-label="Table">
      <table class="table">
        <thead>
          <tr>
            {table.header.map((cell, index) => (
              <th key={index} scope="col" dir="auto" class={look(cell.align)}>
                {inline(cell.tokens, depth)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr key={index}>
              {row.map((cell, at) => (
                <td key={at} dir="auto" class={look(cell.align)}>
                  {inline(cell.tokens, depth)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const inlineOr = (
  token: { readonly text: string; readonly tokens?: Token[] | undefined },
  depth: number,
): ComponentChildren => (token.tokens === undefined ? unescaped(token.text) : inline(token.tokens, depth));

const inline = (tokens: readonly Token[] | undefined, depth: number): ComponentChildren =>
  (tokens ?? []).map((token) => inlineElement(token, depth + 1));

function inlineElement(given: Token, depth: number): ComponentChildren {
  const token = given as MarkedToken; // as: no extension makes other tokens
  if (depth > MAX_DEPTH * 2) return token.raw;
  switch (token.type) {
    case 'strong':
      return <strong>{inline(token.tokens, depth)}</strong>;
    case 'em':
      return <em>{inline(token.tokens, depth)}</em>;
    case 'del':
      return <del>{inline(token.tokens, depth)}</del>;
    case 'codespan':
      return <code>{token.text}</code>;
    case 'br':
      return <br />;
    case 'escape':
      return token.text;
    case 'text':
      return inlineOr(token, depth);
    case 'link':
    case 'image':
      return (
        <Link href={token.href} title={token.title ?? ''}>
          {token.type === 'link' ? inline(token.tokens, depth) : token.text === '' ? 'image' : token.text}
        </Link>
      );
    default:
      return token.raw;
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  quot: '"',
  amp: '&',
  '#39': "'",
  nbsp: ' ',
};
/** The few entities that people write; others stay as they are. */
const unescaped = (text: string): string =>
  text.replace(/&(lt|gt|quot|amp|nbsp|#39);/g, (all, name: string) => ENTITIES[name] ?? all);

interface LinkProps {
  readonly href: string;
  readonly title: string;
  readonly children: ComponentChildren;
}

/** The address is visible, as the text of the link or behind it, and the title is. */
function Link({ href, title, children }: LinkProps) {
  const url = URL.parse(href);
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:';
  const text = plainOf(children);
  const shown = text === href || text === url?.host || `https://${text}` === href;
  const behind = [shown ? '' : isWeb ? url.host : href, title].filter((text) => text !== '');
  return (
    <>
      {isWeb ? (
        <a href={url.href} rel="noopener noreferrer" target="_blank" title={url.href}>
          {children}
        </a>
      ) : (
        children
      )}
      {behind.length > 0 && <span class="address"> ({behind.join(', ')})</span>}
    </>
  );
}

/** The words of children that are only text. */
const plainOf = (children: ComponentChildren): string =>
  Array.isArray(children) ? children.map(plainOf).join('') : typeof children === 'string' ? children : '\0';

export function Code({ text, language }: { readonly text: string; readonly language: string }) {
  return (
    <figure class="code-block">
      <figcaption>
        <span>{language}</span>
        <CopyButton text={text} what="the code" />
      </figcaption>
      <Clipped text={text} />
    </figure>
  );
}
