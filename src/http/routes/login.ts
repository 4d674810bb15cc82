import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from '#typebox';
import { isJobPrincipal } from '../../auth/job-tokens.ts';
import type { Authenticator } from '../../auth/keyring.ts';
import { type LoginSessions, SESSION_COOKIE } from '../../auth/logins.ts';
import type { Principal } from '../../auth/principal.ts';
import { AppError } from '../../errors.ts';
import { LoginLink } from '../../protocol/key.ts';
import { invalid } from '../../protocol/problem.ts';
import { closed } from '../../protocol/schema.ts';
import { utf8Text } from '../body.ts';
import { escapeHtml, sendPage } from '../html.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, emptyAnswer, errorAnswers } from '../openapi.ts';
import type { OwnNames } from '../own-names.ts';
import { NoQuery } from '../parameters.ts';
import type { Audit } from '../ports.ts';

const FORM = 'application/x-www-form-urlencoded';
const Credentials = Type.Object(
  {
    token: Type.Optional(Type.String()),
    link: Type.Optional(Type.String({ description: 'the code of a link, in place of the token' })),
    next: Type.Optional(Type.String()),
  },
  { ...closed, examples: [{ token: 'bp_…', next: '/docs' }, { link: 'q4J…' }] },
);
type Credentials = Static<typeof Credentials>;
const COOKIE = { httpOnly: true, sameSite: 'strict', path: '/' } as const;

interface LoginOptions {
  readonly authenticator: Authenticator;
  readonly logins: LoginSessions;
  readonly names: OwnNames;
  readonly audit: Pick<Audit, 'note'>;
}

/**
 * `GET /login`, `POST /login` (form or JSON) and `POST /logout`: exchange a token, or the code of a
 * link, for a cookie. `POST /v1/login-links` makes such a code.
 */
export function loginRoutes(app: HttpApp, { authenticator, logins, names, audit }: LoginOptions): void {
  app.post(
    '/v1/login-links',
    {
      schema: {
        tags: ['login'],
        operationId: 'createLoginLink',
        summary: 'Make a code with which a browser logs in as the caller',
        description:
          'For `POST /login` with `{"link": code}`, once, within a minute. The page of the server sends the code of an address that ends with `#login=CODE`.',
        querystring: NoQuery,
        response: {
          201: answer('The code', { 'application/json': LoginLink }),
          ...errorAnswers('auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      // A login must not prolong itself, nor outlive its logout.
      if (request.headers.authorization === undefined || isJobPrincipal(principal))
        throw new AppError('auth.forbidden', 'this needs a key, a JWT or the admin token itself');
      return reply.code(201).send(authenticator.createLink(principal));
    },
  );

  app.register(async (scope: HttpApp) => {
    scope.addContentTypeParser(FORM, { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) =>
      Object.fromEntries(new URLSearchParams(utf8Text(body))),
    );

    scope.get(
      '/login',
      {
        config: { access: 'public', produces: ['text/html'] },
        schema: {
          hide: true,
          querystring: Type.Object({
            next: Type.Optional(Type.String()),
            refused: Type.Optional(Type.Literal('link')),
          }),
        },
      },
      async (request, reply) => {
        const { next, refused } = request.query;
        return sendLogin(reply, next, refused === 'link' ? OLD_LINK : null);
      },
    );

    scope.post(
      '/login',
      {
        config: { produces: ['*'] },
        schema: {
          tags: ['login'],
          operationId: 'logIn',
          summary: 'Log a browser in with a token, or with the code of a link',
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
        const { next, ...given } = (request.body ?? { token: '' }) as Credentials;
        const form = request.headers['content-type']?.startsWith(FORM) === true;
        const login = await logIn(given, request.ip, form);
        if (login instanceof AppError) return sendLogin(reply, next, problemOf(login), login);
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
        if (cookie !== undefined) await logins.end(cookie);
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
  async function logIn(given: Omit<Credentials, 'next'>, from: string, form: boolean) {
    try {
      const principal = await authenticate(given, from);
      return { ...logins.begin(principal), principal };
    } catch (error) {
      if (form && error instanceof AppError) return error;
      throw error;
    }
  }

  async function authenticate({ token, link }: Credentials, from: string): Promise<Principal> {
    if (link === undefined && token !== undefined) return authenticator.authenticateToken(token, from);
    if (link !== undefined && token === undefined) return authenticator.authenticateLink(link, from);
    throw invalid([{ path: '/token', message: 'is required, unless there is a link in its place' }]);
  }
}

const OLD_LINK = 'That link was used before or is older than a minute; make another one, or log in here';

const problemOf = ({ code, message }: AppError): string =>
  code === 'auth.unauthenticated' ? 'That token is not valid' : message;

/** @param why the login before was refused; null: there was none */
function sendLogin(
  reply: FastifyReply,
  next: string | undefined,
  why: string | null,
  {
    status = 200,
    retryAfterSeconds,
  }: { readonly status?: number; readonly retryAfterSeconds?: number | undefined } = {},
): FastifyReply {
  const problem =
    why === null ? '' : `<p class="bad" role="alert" id="problem">${escapeHtml(sentence(why))}</p>`;
  const invalid = why === null ? '' : ' aria-invalid="true" aria-describedby="problem"';
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds);
  return sendPage(
    reply.code(status),
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
