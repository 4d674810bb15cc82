import { AppError } from '../../errors.ts';
import type { HttpApp } from '../http-app.ts';

interface KnownPath {
  readonly pattern: RegExp;
  readonly methods: Set<string>;
}

/**
 * 404 for a path nobody serves, 405 with Allow for a known path with another method. Must be called before the
 * first route.
 */
export function notFound(app: HttpApp): void {
  const paths = new Map<string, KnownPath>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = paths.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    for (const name of [method].flat()) known.methods.add(name);
    paths.set(url, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?', 1);
    const allowed = [...paths.values()].filter(({ pattern }) => pattern.test(path));
    const methods = [...new Set(allowed.flatMap((known) => [...known.methods]))];
    if (methods.length === 0 || methods.includes(request.method)) {
      throw new AppError('request.not_found', 'there is nothing at this path; GET / lists what there is');
    }
    reply.header('allow', methods.join(', '));
    throw new AppError('request.method_not_allowed', `this path takes ${methods.join(', ')}`);
  });
}

/** A route's pattern as a regular expression: `:name` is one segment, `*` is the rest. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:\w+/g, '[^/]+')
    .replaceAll('*', '.*');
  return new RegExp(`^${source}$`);
}
