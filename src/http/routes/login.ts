import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Authenticator } from '../../auth/keyring.ts';
import { type LoginSessions, SESSION_COOKIE } from '../../auth/signed-values.ts';
import { AppError } from '../../errors.ts';
import { closed } from '../../protocol/schema.ts';
import { utf8Text } from '../body.ts';
import { escapeHtml, sendPage } from '../html.ts';
import type { HttpApp } from '../http-app.ts';
import { emptyAnswer, errorAnswers } from '../openapi.ts';
import type { OwnNames } from '../own-names.ts';
import type { Audit } from '../ports.ts';

const FORM = 'application/x-www-form-urlencoded';
const Credentials = Type.Object(
  { token: Type.String(), next: Type.Optional(Type.String()) },
  { ...closed, examples: [{ token: 'bp_…', next: '/docs' }] },
);
const COOKIE = { httpOnly: true, sameSite: 'strict', path: '/' } as const;

interface LoginOptions {
  readonly authenticator: Authenticator;
  readonly logins: LoginSessions;
  readonly names: OwnNames;
  readonly audit: Pick<Audit, 'note'>;
}

/** `GET /login`, `POST /login` (form or JSON) and `POST /logout`: exchange a token for a cookie. */
export function loginRoutes(app: HttpApp, { authenticator, logins, names, audit }: LoginOptions): void {
  app.register(async (scope: HttpApp) => {
    scope.addContentTypeParser(FORM, { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) =>
      Object.fromEntries(new URLSearchParams(utf8Text(body))),
    );

    scope.get(
      '/login',
      {
        config: { access: 'public', produces: ['text/html'] },
        schema: { hide: true, querystring: Type.Object({ next: Type.Optional(Type.String()) }) },
      },
      async (request, reply) => sendLogin(reply, request.query.next, null),
    );

    scope.post(
      '/login',
      {
        config: { produces: ['*'] },
        schema: {
          tags: ['login'],
          operationId: 'logIn',
          summary: 'Log a browser in with a token',
          body: { content: { 'application/json': { schema: Credentials }, [FORM]: { schema: Credentials } } },
          response: {
            204: emptyAnswer('The cookie is set'),
            303: emptyAnswer('The cookie is set; for forms'),
            ...errorAnswers('auth.unauthenticated', 'auth.forbidden', 'auth.too_many_attempts'),
            ...errorAnswers('request.unsupported_media_type'),
          },
        },
      },
      async (request, reply) => {
        refuseOtherOrigins(request);
        // as: Credentials has validated both content types
        const { token, next } = (request.body ?? { token: '' }) as { token: string; next?: string };
        const form = request.headers['content-type']?.startsWith(FORM) === true;
        const login = await logIn(token, request.ip, form);
        if (login instanceof AppError) return sendLogin(reply, next, login);
        const { id, project, admin } = login.principal;
        audit.note(
          { id, address: request.ip, requestId: request.id },
          { action: 'login.created', ...(!admin && { project }) },
        );
        reply.setCookie(SESSION_COOKIE, login.cookie, {
          ...COOKIE,
          secure: request.headers.origin?.startsWith('https:') === true,
          maxAge: login.maxAgeSeconds,
        });
        return form ? reply.redirect(localPath(next), 303) : reply.code(204).send();
      },
    );

    scope.post(
      '/logout',
      {
        config: { produces: ['*'] },
        schema: {
          tags: ['login'],
          operationId: 'logOut',
          summary: 'Log a browser out',
          response: { 204: emptyAnswer('The cookie is gone'), ...errorAnswers('auth.forbidden') },
        },
      },
      async (request, reply) => {
        refuseOtherOrigins(request);
        const cookie = request.cookies[SESSION_COOKIE];
        if (cookie !== undefined) logins.end(cookie);
        return reply.clearCookie(SESSION_COOKIE, COOKIE).code(204).send();
      },
    );
  });

  /** Keeps other sites from logging a browser in or out. Forms always send Origin. */
  function refuseOtherOrigins({ headers }: FastifyRequest): void {
    if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) return;
    if (names.isOwnPage(headers, false)) return;
    throw new AppError('auth.forbidden', 'log in and out from pages of this server only');
  }

  /** A new login; an error for a form, which gets its page again. */
  async function logIn(token: string, from: string, form: boolean) {
    try {
      const principal = await authenticator.authenticateToken(token, from);
      return { ...logins.begin(principal), principal };
    } catch (error) {
      if (form && error instanceof AppError) return error;
      throw error;
    }
  }
}

function sendLogin(reply: FastifyReply, next: string | undefined, refusal: AppError | null): FastifyReply {
  const isWrong = refusal?.code === 'auth.unauthenticated';
  const why = isWrong ? 'That token is not valid' : refusal?.message;
  const problem =
    why === undefined ? '' : `<p class="bad" role="alert" id="problem">${escapeHtml(sentence(why))}</p>`;
  const invalid = refusal === null ? '' : ' aria-invalid="true" aria-describedby="problem"';
  if (refusal?.retryAfterSeconds !== undefined) reply.header('retry-after', refusal.retryAfterSeconds);
  return sendPage(
    reply.code(refusal?.status ?? 200),
    'Log in',
    `<h1>Log in to Bullpen</h1>
<p>With a key, with a JWT if the server takes them, or with the admin token: it is in the file <code>token</code> of the server's data folder, whose path the server prints when it starts.</p>
${problem}<form method="post" action="/login">
<input type="hidden" name="next" value="${escapeHtml(localPath(next))}">
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password" spellcheck="false"${invalid}>
<button type="submit">Log in</button>
</form>`,
  );
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/**
 * The page to open after the login: a path of this server, else `/`. With a backslash or a second
 * slash it would be the address of another server.
 */
function localPath(next: unknown): string {
  if (typeof next !== 'string' || !next.startsWith('/')) return '/';
  const base = 'http://local.invalid';
  const url = URL.parse(next, base);
  return url === null || url.origin !== base || url.pathname.startsWith('//')
    ? '/'
    : url.pathname + url.search;
}
