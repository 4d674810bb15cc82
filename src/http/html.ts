import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text escaped for HTML content and quoted attributes. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%23b45309'/%3E%3Cpath d='M9 8v16M16 8v16M23 8v16' stroke='white' stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E";

const STYLE = `
:root { color-scheme: light dark; --ink: #1c1917; --soft: #57534e; --line: #d6d3d1; --paper: #fafaf9; --card: #fff; --accent: #b45309; --bad: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --ink: #f5f5f4; --soft: #a8a29e; --line: #44403c; --paper: #1c1917; --card: #292524; --accent: #fbbf24; --bad: #fca5a5 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem 1rem; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { width: 100%; max-width: 26rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px; box-shadow: 0 10px 30px rgb(0 0 0 / .06) }
main.wide { max-width: 60rem }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; letter-spacing: -.01em }
p { margin: 0 0 1.25rem; color: var(--soft) }
a { color: var(--accent) }
label { display: block; font-weight: 600; margin-bottom: .35rem }
input { width: 100%; padding: .65rem .75rem; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: 8px }
button { width: 100%; margin-top: 1rem; padding: .7rem; font: inherit; font-weight: 600; color: var(--card); background: var(--accent); border: 0; border-radius: 8px; cursor: pointer }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
.bad { color: var(--bad); font-weight: 600 }
ul { margin: 0; padding-left: 1.1rem }
table { width: 100%; border-collapse: collapse; font-size: .95rem }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line) }
tr:target { background: color-mix(in srgb, var(--accent) 18%, transparent) }
code { font-family: ui-monospace, monospace; font-size: .92em }
`;

/** No scripts, no files, and no style but this one. */
const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;

/** Answers with a page without scripts or other files. `body` is HTML, `title` is text. */
export function sendPage(reply: FastifyReply, title: string, body: string, wide = false): FastifyReply {
  const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Bullpen</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>
<main${wide ? ' class="wide"' : ''}>
${body}
</main>
</body>
</html>
`;
  return reply.type('text/html; charset=utf-8').header('content-security-policy', PAGE_POLICY).send(page);
}
