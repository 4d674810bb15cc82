import { Type } from '#typebox';
import { ERROR_CODES } from '../../errors.ts';
import { negotiate } from '../headers.ts';
import { escapeHtml, sendPage } from '../html.ts';
import type { HttpApp } from '../http-app.ts';
import { answer } from '../openapi.ts';
import { sendDocument } from './page.ts';

const LINKS = {
  docs: '/docs',
  openapi: '/openapi.json',
  jobs: '/v1/jobs',
  providers: '/v1/providers',
  health: '/health',
  ready: '/ready',
  queues: '/admin/queues',
} as const;
const PAGE = ['application/json', 'text/html'];

/**
 * `GET /`: the page for a browser, else names and links. And `GET /docs/errors`, to which the
 * `type` of every problem points.
 */
export function landingRoutes(app: HttpApp, version: string, page: string | null): void {
  app.get(
    '/',
    {
      config: { produces: PAGE },
      schema: {
        tags: ['server'],
        operationId: 'getIndex',
        summary: 'Name, version and links',
        response: {
          200: answer('Name, version, links', {
            'application/json': Type.Object(
              {
                name: Type.Literal('bullpen'),
                version: Type.String(),
                links: Type.Record(Type.String(), Type.String()),
              },
              { examples: [{ name: 'bullpen', version, links: LINKS }] },
            ),
            'text/html': Type.String({ examples: ['<!doctype html>…'] }),
          }),
        },
      },
    },
    async (request, reply) => {
      if (negotiate(request, PAGE) === 'text/html') {
        return sendDocument(reply, page);
      }
      return reply.send({ name: 'bullpen', version, links: LINKS });
    },
  );

  app.get(
    '/docs/errors',
    { config: { access: 'caller', page: true, produces: ['text/html'] }, schema: { hide: true } },
    async (_, reply) => sendPage(reply, 'Error codes', errorTable(), true),
  );
}

const errorTable = (): string => {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { status, retryable, title }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${retryable ? 'yes' : 'no'}</td><td>${escapeHtml(title)}</td></tr>`,
  );
  return `<h1>Error codes</h1>
<p>The codes of error answers and of job outcomes.</p>
<table><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Retry helps</th><th scope="col">Meaning</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`;
};
