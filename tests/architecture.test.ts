/** The rules of docs/architecture.md about who may import whom, read from the source itself. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAX_LINES = 300;
/**
 * The composition root is one list of all parts, read from top to bottom; splitting it would hide
 * the order.
 */
const MAX_ROOT_LINES = 400;

interface Import {
  /** Path from the root for our own files, else the package's or node module's name. */
  readonly to: string;
  /** Gone after compilation. */
  readonly typeOnly: boolean;
  /** `import('…')`: loaded when the code gets there. */
  readonly lazy: boolean;
}

interface SourceFile {
  /** Path from the root. */
  readonly path: string;
  readonly text: string;
  /** The text without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

const sources: readonly SourceFile[] = ['src', 'workers', 'scripts'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ['.ts', '.tsx', '.js'].includes(extname(entry.name)))
    .map((entry) => read(join(entry.parentPath, entry.name))),
);
const byPath = new Map(sources.map((file) => [file.path, file]));

function read(file: string): SourceFile {
  const text = readFileSync(file, 'utf8');
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
  return { path: relative(ROOT, file), text, code, imports: importsOf(file, code) };
}

function importsOf(file: string, code: string): Import[] {
  const to = (specifier: string): string =>
    specifier.startsWith('.') ? relative(ROOT, resolve(dirname(file), specifier)) : specifier;
  const found: Import[] = [];
  const statement = /^(?:import|export)\s+(type\s)?([^'";]*?)\s*from\s*'([^']+)'/gm;
  for (const [, type, names = '', specifier = ''] of code.matchAll(statement)) {
    found.push({ to: to(specifier), typeOnly: type !== undefined || onlyTypes(names), lazy: false });
  }
  for (const [, how = '', specifier = ''] of code.matchAll(/(^import\s+|\bimport\(\s*)'([^']+)'/gm)) {
    found.push({ to: to(specifier), typeOnly: false, lazy: how.includes('(') });
  }
  return found;
}

/** `{ type A, type B }` imports nothing at run time. */
function onlyTypes(names: string): boolean {
  const listed = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
  if (listed === undefined) return false;
  const parts = listed
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  return parts.length > 0 && parts.every((part) => part.startsWith('type '));
}

const within = (path: string, ...places: readonly string[]): boolean =>
  places.some((place) => path === place || (place.endsWith('/') && path.startsWith(place)));
const isOurs = ({ to }: Import): boolean =>
  within(to, 'src/', 'workers/', 'scripts/', 'tests/', 'package.json');
const arrow = (file: SourceFile, { to }: Import): string => `${file.path} → ${to}`;

/** Every import of the files in `places` that `allowed` does not allow. */
function forbidden(places: readonly string[], allowed: (one: Import) => boolean): readonly string[] {
  return sources
    .filter(({ path }) => within(path, ...places))
    .flatMap((file) => file.imports.filter((one) => !allowed(one)).map((one) => arrow(file, one)));
}

/** Every import of something in `places` from a file that is not in `from`. */
function outsiders(
  places: readonly string[],
  from: readonly string[],
  counts: (one: Import) => boolean,
): readonly string[] {
  return sources
    .filter(({ path }) => !within(path, ...from))
    .flatMap((file) =>
      file.imports.filter((one) => within(one.to, ...places) && counts(one)).map((one) => arrow(file, one)),
    );
}

/** What a file needs at run time, itself included. */
function needed(path: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const one of byPath.get(path)?.imports ?? []) if (!one.typeOnly) needed(one.to, seen);
  return seen;
}

/** What is loaded together with a file, itself included. */
function eager(path: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const one of byPath.get(path)?.imports ?? []) if (!one.typeOnly && !one.lazy) eager(one.to, seen);
  return seen;
}

describe('the reader of imports', () => {
  it('finds the files and understands what they import', () => {
    expect(sources.length).toBeGreaterThan(100);
    const client = byPath.get('src/rpc/client.ts');
    expect(client?.imports).toContainEqual({ to: 'src/errors.ts', typeOnly: false, lazy: false });
    expect(client?.imports).toContainEqual({ to: 'src/records/submissions.ts', typeOnly: true, lazy: false });
    expect(byPath.get('src/bin.js')?.imports).toContainEqual({
      to: 'src/main.ts',
      typeOnly: false,
      lazy: true,
    });
    expect(byPath.get('workers/bootstrap.ts')?.imports).toContainEqual({
      to: 'bullmq/dist/cjs/classes/main.js',
      typeOnly: false,
      lazy: false,
    });
  });

  it('misses no import: every file that is imported is one of those that were read', () => {
    const missing = sources.flatMap((file) =>
      file.imports
        .filter((one) => within(one.to, 'src/', 'workers/', 'scripts/') && !byPath.has(one.to))
        .filter((one) => !one.to.endsWith('.css'))
        .map((one) => arrow(file, one)),
    );
    expect(missing).toEqual([]);
  });

  it('tells type imports from others', () => {
    const code = [
      "import { type A, type B } from './a.ts';",
      "import { type C, d } from './b.ts';",
      "import type { E } from './c.ts';",
      'import {\n  type F,\n  g,\n} from "x";'.replaceAll('"', "'"),
      "export { h } from './d.ts';",
      "import './e.ts';",
      "const i = await import('./f.ts');",
    ].join('\n');
    expect(importsOf(join(ROOT, 'src/x.ts'), code)).toEqual([
      { to: 'src/a.ts', typeOnly: true, lazy: false },
      { to: 'src/b.ts', typeOnly: false, lazy: false },
      { to: 'src/c.ts', typeOnly: true, lazy: false },
      { to: 'x', typeOnly: false, lazy: false },
      { to: 'src/d.ts', typeOnly: false, lazy: false },
      { to: 'src/e.ts', typeOnly: false, lazy: false },
      { to: 'src/f.ts', typeOnly: false, lazy: true },
    ]);
  });
});

describe('the folders', () => {
  /**
   * From top to bottom; a file directly under src that is not named lies at the bottom, like the
   * protocol.
   */
  const ORDER = [
    'src/bin.js',
    'src/main.ts',
    'src/serve-executor.ts',
    'src/serve.ts',
    'src/background.ts',
    'src/app.ts',
    'src/executor-app.ts',
    'src/cli/',
    'src/page/',
    'src/client/',
    'src/remote/',
    'src/http/',
    'src/live/',
    'src/status/',
    'src/jobs/',
    'src/terminals/',
    'src/queue/',
    'src/executor/',
    'src/limits/',
    'src/rpc/',
    'src/events/',
    'src/store/',
    'src/records/',
    'src/auth/',
    'src/usage/',
    'src/providers/',
    'src/processes/',
    'src/redis/',
    'src/config/',
    'src/anthropic-runner/',
  ];
  const level = (path: string): number => {
    const at = ORDER.findIndex((place) => within(path, place));
    return at === -1 ? ORDER.length : at;
  };

  it('every folder has its place in the order', () => {
    const folders = sources.map(({ path }) => path).filter((path) => /^src\/[^/]+\//.test(path));
    const unplaced = folders.filter((path) => level(path) === ORDER.length && !within(path, 'src/protocol/'));
    expect(unplaced).toEqual([]);
  });

  it('each imports only from folders below it; only the types of a ports file may lie above', () => {
    const up = sources
      .filter(({ path }) => within(path, 'src/'))
      .flatMap((file) =>
        file.imports
          .filter((one) => isOurs(one) && level(one.to) < level(file.path))
          .filter((one) => !(one.typeOnly && /^([a-z]+-)?ports\.ts$/.test(basename(one.to))))
          .map((one) => arrow(file, one)),
      );
    expect(up).toEqual([]);
  });

  it('the protocol imports only itself, the errors and packages', () => {
    const allowed = (one: Import): boolean =>
      within(one.to, 'src/protocol/', 'src/errors.ts') || (!isOurs(one) && !one.to.startsWith('node:'));
    expect(forbidden(['src/protocol/'], allowed)).toEqual([]);
  });

  it('errors.ts imports nothing', () => {
    expect(forbidden(['src/errors.ts'], () => false)).toEqual([]);
  });

  const FOR_WORKERS = [
    'workers/',
    'src/protocol/',
    'src/rpc/',
    'src/records/',
    'src/redis/connection.ts',
    'src/redis/doorbells.ts',
    'src/redis/names.ts',
    'src/redis/redis-error.ts',
    'src/config/secrets.ts',
    'src/config/worker.ts',
    'src/errors.ts',
    'src/log.ts',
    'src/sibling-module.ts',
    'src/redactor.ts',
    'src/failpoint.ts',
    'src/timing.ts',
  ];

  it('a sandboxed worker imports only what it is given', () => {
    expect(forbidden(['workers/'], (one) => !isOurs(one) || within(one.to, ...FOR_WORKERS))).toEqual([]);
  });

  it('nor does it get anything else by way of what it imports', () => {
    const reached = [...needed('workers/prompt.worker.ts')].filter((path) => byPath.has(path));
    expect(reached.filter((path) => !within(path, ...FOR_WORKERS))).toEqual([]);
    expect(reached).toContain('src/rpc/client.ts');
  });

  it('nor any package but the Redis client and the maker of ids: each takes memory in every worker', () => {
    const reached = [...needed('workers/prompt.worker.ts')].filter((path) => !byPath.has(path));
    expect(reached.filter((path) => !path.startsWith('node:')).sort()).toEqual(['ioredis', 'ulid']);
  });

  it('providers import only themselves, the protocol and the errors; no process, file or network', () => {
    const allowed = (one: Import): boolean =>
      within(one.to, 'src/providers/', 'src/protocol/', 'src/errors.ts') ||
      (!isOurs(one) && !one.to.startsWith('node:'));
    expect(forbidden(['src/providers/'], allowed)).toEqual([]);
    const globals = sources.filter(
      ({ path, code }) => within(path, 'src/providers/') && /\bprocess\.|\bfetch\(/.test(code),
    );
    expect(globals.map(({ path }) => path)).toEqual([]);
  });

  it('the runner of the Messages API imports only itself, the protocol, the errors, packages and node', () => {
    const allowed = (one: Import): boolean =>
      within(one.to, 'src/anthropic-runner/', 'src/protocol/', 'src/errors.ts') || !isOurs(one);
    expect(forbidden(['src/anthropic-runner/'], allowed)).toEqual([]);
    const reached = [...needed('src/anthropic-runner/main.ts')];
    expect(reached).toContain('@anthropic-ai/sdk/client');
    // It begins anew for every job: what only checks types of lines would be loaded each time.
    expect(reached).not.toContain('#typebox');
  });

  it('HTTP is built by app.ts and the door of the executor; others may name the types of its ports', () => {
    const runsOrIsNoPort = (one: Import): boolean =>
      !one.typeOnly || !within(one.to, 'src/http/ports.ts', 'src/http/session-ports.ts');
    const builders = ['src/http/', 'src/app.ts', 'src/executor-app.ts', 'src/remote/door/', 'scripts/'];
    expect(outsiders(['src/http/'], builders, runsOrIsNoPort)).toEqual([]);
  });

  it('nothing imports the command line or main but each other, from bin.js down', () => {
    expect(outsiders(['src/cli/'], ['src/cli/', 'src/main.ts'], () => true)).toEqual([]);
    expect(outsiders(['src/main.ts'], ['src/bin.js'], () => true)).toEqual([]);
    expect(outsiders(['src/bin.js'], [], () => true)).toEqual([]);
  });

  it('the client imports only itself, the protocol, the errors, packages and node', () => {
    const allowed = (one: Import): boolean =>
      within(one.to, 'src/client/', 'src/protocol/', 'src/errors.ts') || !isOurs(one);
    expect(forbidden(['src/client/'], allowed)).toEqual([]);
  });

  it('the client runs in browsers: it imports no module of Node', () => {
    const places = [...needed('src/client/client.ts')].filter((path) => path.startsWith('node:'));
    expect(places).toEqual([]);
  });

  it('the command line imports only itself, the client, the settings, the protocol and the errors', () => {
    const places = ['src/cli/', 'src/client/', 'src/config/', 'src/protocol/', 'src/errors.ts'];
    expect(forbidden(['src/cli/'], (one) => !isOurs(one) || within(one.to, ...places))).toEqual([]);
  });

  it('the page is a client: it imports only itself, the client, the types of the protocol, and packages', () => {
    const allowed = (one: Import): boolean =>
      within(one.to, 'src/page/', 'src/client/') ||
      (one.typeOnly && within(one.to, 'src/protocol/')) ||
      (!isOurs(one) && !one.to.startsWith('node:'));
    const files = sources.filter(({ path }) => within(path, 'src/page/') && !path.endsWith('vite.config.ts'));
    expect(
      forbidden(
        files.map(({ path }) => path),
        allowed,
      ),
    ).toEqual([]);
    expect(outsiders(['src/page/'], ['src/page/'], () => true)).toEqual([]);
    const server = [...needed('src/page/main.tsx')].filter((path) => within(path, 'src/'));
    expect(server.filter((path) => !within(path, 'src/page/', 'src/client/', 'src/errors.ts'))).toEqual([]);
  });

  it('a command starts without the server, the settings and packages: they are loaded when needed', () => {
    expect(byPath.get('src/main.ts')?.code).toMatch(/await import\('\.\/serve\.ts'\)/);
    expect(eager('src/main.ts')).toContain('src/cli/commands/run.ts');
    const heavy = [...eager('src/main.ts')].filter(
      (path) =>
        !within(path, 'src/main.ts', 'src/cli/', 'src/client/', 'src/errors.ts') &&
        !within(path, 'src/config/places.ts', 'src/store/server-note.ts', 'src/processes/proc-entry.ts') &&
        path !== 'src/protocol/session-states.ts',
    );
    expect(heavy.filter((path) => !path.startsWith('node:'))).toEqual([]);
  });

  it('serve.ts notes its start before it loads the server, the settings and packages', () => {
    expect(byPath.get('src/serve.ts')?.code).toMatch(/await import\('\.\/app\.ts'\)/);
    const light = ['src/serve.ts', 'src/config/places.ts', 'src/errors.ts', 'src/processes/own-process.ts'];
    const heavy = [...eager('src/serve.ts')].filter(
      (path) => !path.startsWith('node:') && !within(path, ...light, 'src/workspace.ts'),
    );
    const notes = ['src/store/run-folders.ts', 'src/store/server-note.ts', 'src/processes/proc-entry.ts'];
    expect(heavy).toEqual(notes);
  });

  it('app.ts is imported by serve.ts alone, and by scripts that start a server', () => {
    expect(outsiders(['src/app.ts'], ['src/serve.ts', 'scripts/'], () => true)).toEqual([]);
    expect(outsiders(['src/serve.ts'], ['src/main.ts', 'src/serve-executor.ts'], () => true)).toEqual([]);
    expect(outsiders(['src/executor-app.ts'], ['src/serve-executor.ts'], () => true)).toEqual([]);
    expect(outsiders(['src/serve-executor.ts'], ['src/main.ts'], () => true)).toEqual([]);
  });

  it('an executor for servers on other hosts loads no Redis client, no queue and no pages', () => {
    const packages = [...eager('src/executor-app.ts')].filter((path) => !byPath.has(path));
    const own = [
      '#typebox',
      '#typebox/compile',
      '@fastify/rate-limit',
      'fastify',
      'lru-cache',
      'negotiator',
      'ulid',
    ];
    expect(packages.filter((path) => !path.startsWith('node:')).sort()).toEqual(own);
  });

  it('the product imports neither its tests nor its scripts', () => {
    const allowed = (one: Import): boolean => !within(one.to, 'tests/', 'scripts/');
    expect(forbidden(['src/', 'workers/'], allowed)).toEqual([]);
  });

  it('the product imports only packages it declares as its own', () => {
    const { dependencies, imports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const nameOf = (to: string): string =>
      to
        .split('/')
        .slice(0, to.startsWith('@') ? 2 : 1)
        .join('/');
    const allowed = (one: Import): boolean =>
      isOurs(one) || one.to.startsWith('node:') || nameOf(one.to) in dependencies || one.to in imports;
    // The page is bundled: what it needs is in the package already.
    const places = sources.map(({ path }) => path).filter((path) => within(path, 'src/', 'workers/'));
    expect(
      forbidden(
        places.filter((path) => !within(path, 'src/page/')),
        allowed,
      ),
    ).toEqual([]);
  });

  it('TypeBox is loaded as a few files, not as its 683', () => {
    const own = (one: Import): boolean => one.typeOnly || !/^typebox\b/.test(one.to);
    expect(
      forbidden(
        sources.map(({ path }) => path).filter((path) => path !== 'scripts/typebox.js'),
        own,
      ),
    ).toEqual([]);
  });

  it('the server loads node:http without undici: see src/node-http.ts', () => {
    const own = (one: Import): boolean => one.typeOnly || one.to !== 'node:http';
    expect(forbidden(['src/', 'workers/'], own)).toEqual([]);
  });

  it('no import goes round in a circle', () => {
    expect(circles()).toEqual([]);
  });
});

/** Every circle of imports at run time in src, as the path that closes it. */
function circles(): readonly string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) found.push([...trail.slice(at), path].join(' → '));
    if (at !== -1 || done.has(path)) return;
    for (const one of byPath.get(path)?.imports ?? []) if (!one.typeOnly) visit(one.to, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) if (within(path, 'src/')) visit(path, []);
  return found;
}

describe('the environment', () => {
  /** bin.js: where the compile cache lies is needed before anything can be loaded. */
  const MAY = [
    'src/config/load.ts',
    'src/config/worker.ts',
    'src/main.ts',
    'src/bin.js',
    'src/anthropic-runner/main.ts',
    'workers/',
  ];
  const touching = sources.filter(
    ({ path, code }) => within(path, 'src/', 'workers/') && /\bprocess\.env\b/.test(code),
  );

  it('is touched only where the settings are read and where a process begins', () => {
    expect(touching.map(({ path }) => path).filter((path) => !within(path, ...MAY))).toEqual([]);
    expect(touching.map(({ path }) => path)).toContain('src/main.ts');
  });

  it('is handed on whole where a process begins', () => {
    const picking = touching.filter(
      ({ path, code }) =>
        within(path, 'src/main.ts', 'src/anthropic-runner/', 'workers/') &&
        /\bprocess\.env\s*[.[]/.test(code),
    );
    expect(picking.map(({ path }) => path)).toEqual([]);
  });
});

describe('the files', () => {
  const product = sources.filter(({ path }) => within(path, 'src/'));

  it('none starts a process synchronously', () => {
    // When such a start fails for lack of descriptors, Node sends SIGKILL to process 0: to the
    // server and to its whole process group.
    const sync = /\b(?:spawn|exec|execFile)Sync\b/;
    expect(product.filter(({ text }) => sync.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it('no file or folder is named for holding whatever', () => {
    const vague = product.filter(({ path }) =>
      path.split('/').some((part) => /^(utils?|helpers?|common|types?|misc|shared)(\.|$)/.test(part)),
    );
    expect(vague.map(({ path }) => path)).toEqual([]);
  });

  it('names are in kebab-case', () => {
    const odd = product.filter(({ path }) => !/^[a-z0-9]+([-.][a-z0-9]+)*$/.test(basename(path)));
    expect(odd.map(({ path }) => path)).toEqual([]);
  });

  it(`no file has more than ${MAX_LINES} lines`, () => {
    const long = product.map(({ path, text }) => [path, text.split('\n').length - 1] as const);
    const limit = (path: string): number => (path === 'src/app.ts' ? MAX_ROOT_LINES : MAX_LINES);
    expect(long.filter(([path, lines]) => lines > limit(path))).toEqual([]);
  });
});
