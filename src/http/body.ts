import { isUtf8 } from 'node:buffer';
import { AppError } from '../errors.ts';
import { invalid } from '../protocol/problem.ts';
import type { HttpApp } from './http-app.ts';
import { checkJsonShape } from './validation.ts';

/**
 * Takes JSON bodies on every route; a route that takes another type adds a parser with `utf8Text`
 * in its own scope. An empty body is no body, with or without a Content-Type. Compressed bodies and
 * other charsets are 415.
 */
export function bodyParsing(app: HttpApp): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) return done(null, undefined);
    checkJsonShape(body, request.routeOptions.config.maxJsonItems);
    return parse(request, utf8Text(body), done);
  });
  refuseEncodings(app);
}

/** Answers 415 to compressed bodies and those of another charset. */
export function refuseEncodings(app: HttpApp): void {
  app.addHook('onRequest', async ({ headers, is404 }) => {
    if (is404) return;
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
      throw new AppError('request.unsupported_media_type', 'send the body uncompressed');
    }
    const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers['content-type'] ?? '')?.[1];
    if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
      throw new AppError('request.unsupported_media_type', 'send the body as UTF-8');
    }
  });
}

/**
 * A body as text, byte for byte.
 * @throws AppError request.invalid when the bytes are not UTF-8
 */
export function utf8Text(body: Buffer): string {
  if (!isUtf8(body)) throw invalid([{ path: '', message: 'is not valid UTF-8' }]);
  return body.toString('utf8');
}
