/** The hooks that let only signed requests reach a route, and parse their bodies afterwards. */
import type { FastifyRequest } from 'fastify';
import { refusedSignature, type SignatureScheme, verifySignature } from '../../auth/request-signature.ts';
import { AppError } from '../../errors.ts';
import { refuseEncodings, utf8Text } from '../../http/body.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { checkJsonShape } from '../../http/validation.ts';
import type { UsedSignatures } from '../../store/used-signatures.ts';
import { type BodyBudget, boundBodies } from './body-budget.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How requests of the route are signed; default v2. `none`: everyone may ask. */
    signature?: SignatureScheme | 'none';
    /** How deep a JSON body may be nested; default MAX_JSON_DEPTH. */
    maxJsonDepth?: number;
  }
}

export interface SignatureCheck {
  /** @throws AppError signature.*, store.unavailable */
  check(request: FastifyRequest, scheme: SignatureScheme): Promise<void>;
}

export interface SignatureCheckOptions {
  /** All of them verify. */
  readonly secrets: readonly string[];
  readonly used: Pick<UsedSignatures, 'use'>;
  /** Milliseconds since the epoch. */
  now(): number;
  /** A request was refused. */
  onRefused(request: FastifyRequest, code: string): void;
}

/** A signature counts as used when it is otherwise valid: a stranger fills no table. */
export function createSignatureCheck({
  secrets,
  used,
  now,
  onRefused,
}: SignatureCheckOptions): SignatureCheck {
  return {
    async check(request, scheme) {
      try {
        const { signature } = verifySignature({
          ...{ scheme, secrets, headers: request.headers, now: now() },
          method: request.raw.method ?? '',
          pathAndQuery: request.raw.url ?? '',
          body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
        });
        if (!(await used.use(signature))) throw refusedSignature('signature.replayed');
      } catch (error) {
        if (error instanceof AppError && error.status === 401) onRefused(request, error.code);
        throw error;
      }
    },
  };
}

/**
 * Reads bodies as bytes, within the limit of the route; checks the signature over the bytes; parses
 * them as JSON. So a body without a valid signature is never parsed. Only JSON is taken.
 */
export function signedBodies(
  app: HttpApp,
  { signatures, budget }: { readonly signatures: SignatureCheck; readonly budget: BodyBudget },
): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  refuseEncodings(app);
  const checked = boundBodies(app, budget);
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addHook('preValidation', async (request) => {
    if (request.is404) return;
    const { signature = 'v2', maxJsonItems, maxJsonDepth } = request.routeOptions.config;
    if (signature !== 'none') await signatures.check(request, signature);
    checked(request);
    const { body } = request;
    if (!Buffer.isBuffer(body)) return;
    checkJsonShape(body, maxJsonItems, maxJsonDepth);
    request.body = await new Promise<unknown>((resolve, reject) => {
      void parse(request, utf8Text(body), (error, value) => (error ? reject(error) : resolve(value)));
    });
  });
}
