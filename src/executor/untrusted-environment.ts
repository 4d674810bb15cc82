/**
 * The environment of a CLI in a folder that is not trusted: it leads to no program of that folder.
 *
 * Git runs programs that the settings of a repository name. `git status` and `git diff` run some of
 * them (`core.fsmonitor`, `diff.external`, filters), and CLIs allow these two commands without a
 * question. Settings in the environment (`GIT_CONFIG_COUNT`) override those of a repository. So
 * each setting that names a program is repeated there, with the value of the user's own
 * configuration or with git's default. This holds for every repository that the CLI visits. Names
 * that a repository chooses itself (`filter.<name>.clean`) are known only for the repository of the
 * job, whose settings are read before each start.
 */
import { delimiter, isAbsolute } from 'node:path';
import { LRUCache } from 'lru-cache';
import { AppError } from '../errors.ts';
import { isUnusablePath, type Launch, systemCode } from '../processes/launch.ts';
import { spawnError } from '../processes/spawn.ts';

type Variables = Readonly<Record<string, string>>;

export interface UntrustedEnvironment {
  /**
   * @returns the environment with the variables for an untrusted folder
   * @throws AppError when git's settings there cannot be read: nothing may run then
   */
  (cwd: string, env: Variables): Promise<Variables>;
  /**
   * A job in this folder may start soon: asks git as for the folder's last job. Does nothing where
   * no job has run.
   */
  readAhead(cwd: string): void;
}

/** A configuration may include a pipe without a writer, from which git would read without end. */
const GIT_TIMEOUT_MS = 15_000;
const MAX_LISTING_BYTES = 1024 * 1024;
/**
 * Short, because the files that git reads cannot be watched completely: settings include other
 * files, under conditions, and those may not exist yet.
 */
const CACHE_MS = 2000;
const MAX_CACHED = 1000;

/** @param now milliseconds of a clock that never goes back */
export function createUntrustedEnvironment({
  launch,
  now = () => performance.now(),
}: {
  readonly launch: Launch;
  readonly now?: () => number;
}): UntrustedEnvironment {
  /** Listings by all that they depend on. */
  const cache = new LRUCache<string, Promise<string>>({
    max: MAX_CACHED,
    ttl: CACHE_MS,
    ttlResolution: 0,
    perf: { now },
  });
  /** By folder: the environment of its last job. */
  const lastOf = new LRUCache<string, Variables>({ max: MAX_CACHED });

  /** @param forMs how long the listing must still count */
  function listing(cwd: string, env: Variables, forMs: number): Promise<string> {
    const relevant = Object.entries(env).filter(([name]) => LISTING_VARIABLES.test(name));
    const key = JSON.stringify([cwd, relevant.toSorted()]);
    const cached = cache.get(key);
    if (cached !== undefined && cache.getRemainingTTL(key) > forMs) return cached;
    const asked = askGit(launch, cwd, env);
    cache.set(key, asked);
    asked.catch(() => cache.delete(key));
    return asked;
  }

  async function untrusted(cwd: string, given: Variables): Promise<Variables> {
    const PATH = (given['PATH'] ?? '').split(delimiter).filter(isAbsolute).join(delimiter);
    const env = { ...given, PATH };
    lastOf.set(cwd, env);
    return { ...env, ...gitVariables(await listing(cwd, env, 0), given) };
  }

  return Object.assign(untrusted, {
    readAhead(cwd: string): void {
      const env = lastOf.get(cwd);
      if (env !== undefined) listing(cwd, env, CACHE_MS / 2).catch(() => undefined); // asked again then
    },
  });
}

/** Variables that change which files git reads its settings from. */
const LISTING_VARIABLES = /^(HOME|PATH|XDG_CONFIG_HOME|GIT_.*)$/;

/**
 * What `git config --list` prints in the folder; '' when there is no git, or it refuses to run
 * there.
 */
async function askGit(launch: Launch, cwd: string, env: Variables): Promise<string> {
  // This command runs no program, however the files are written.
  const request = { binary: 'git', args: ['config', '--list', '--show-scope', '-z'], env, cwd };
  const child = await launch(request).catch((error: unknown) => {
    if (error instanceof AppError) throw error;
    if (isUnusablePath(systemCode(error))) return null;
    throw spawnError(error, 'git', cwd);
  });
  if (child === null) return '';
  let unknown: string | null = null;
  const giveUp = (why: string): void => {
    unknown ??= why;
    child.signalGroup('SIGKILL');
  };
  const timer = setTimeout(() => giveUp(`take git more than ${GIT_TIMEOUT_MS} ms`), GIT_TIMEOUT_MS);
  child.stdin.on('error', () => {}).end();
  child.stderr.resume();
  const closed = new Promise<void>((resolve) => child.onClose(resolve));
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_LISTING_BYTES) chunks.push(chunk);
    else giveUp(`are longer than ${MAX_LISTING_BYTES} bytes`);
  });
  await closed;
  clearTimeout(timer);
  if (unknown !== null) throw new AppError('cwd.not_allowed', `git's settings in ${cwd} ${unknown}`);
  // Killed by a signal, or lost with the launcher: the listing is not complete.
  if (child.lost || child.exit?.code == null)
    throw new AppError('execution.lost', 'git was killed while it read its settings');
  return child.exit.code === 0 ? Buffer.concat(chunks).toString() : '';
}

/** Settings with a fixed name that name a program, and their value where the user has set none. */
const FIXED: Readonly<Record<string, string>> = {
  'core.fsmonitor': 'false',
  'core.hookspath': '/dev/null', // hooks in .git/hooks need no setting
  'core.sshcommand': 'ssh',
  'core.alternaterefscommand': 'true',
  'gpg.program': 'gpg',
  'gpg.x509.program': 'gpgsm',
  'gpg.ssh.program': 'ssh-keygen',
  'gpg.ssh.defaultkeycommand': '',
  'log.showsignature': 'false',
  'gc.recentobjectshook': 'true',
  'interactive.difffilter': 'cat',
  'protocol.ext.allow': 'never',
  'safe.barerepository': 'explicit', // git ignores a repository among the files of a folder
};

/** Lists: an empty entry removes the earlier entries. */
const LISTS = /^credential\.(.*\.)?helper$/;

/**
 * Prints the same as git, except that it ignores options of the command (`-w`, `-U`). Needed
 * because `diff.external` cannot be unset.
 */
const PLAIN_DIFF =
  'f() { printf "diff --git a/%s b/%s\\n" "$1" "$1"; diff -u --label "a/$1" --label "b/$1" "$2" "$5"; return 0; }; f';

/** A filter that does not run must not let unfiltered content into a commit. */
const REQUIRED = /^filter\..*\.required$/;

/** Settings with a name that the repository chooses (it may be empty), and a harmless value. */
const NAMED: readonly (readonly [RegExp, string])[] = [
  [/^filter\..*\.(clean|smudge|process)$/, ''],
  [REQUIRED, 'true'],
  [/^diff\..*\.textconv$/, 'cat'],
  [/^diff\.(.*\.command|external)$/, PLAIN_DIFF],
  [/^merge\..*\.driver$/, 'false'],
  [LISTS, ''],
  [/^submodule\..*\.update$/, 'checkout'],
  [/^alias\./, ''],
  [/^pager\./, 'false'],
  [/^(browser|difftool|man|mergetool)\..*\.path$/, 'false'],
  [/\.(cmd|command|program|tocmd|cccmd|headercmd|sendmailcmd|tunnel|smtpserver)$/, 'false'],
];

/**
 * Of these settings the first one counts. They name programs for remotes that are local folders.
 */
const PACK_PROGRAMS = /^remote\..*\.(uploadpack|receivepack)$/;

/** The user's own drivers are repeated: a repository that was not read must not redefine them. */
const DRIVERS = /^((filter|diff|merge)\..*\.[a-z]+|diff\.external|credential\..+)$/;

/** Variables that override settings; an empty one means no program. */
const VARIABLES: Readonly<Record<string, string>> = {
  GIT_ASKPASS: '',
  GIT_PROXY_COMMAND: '', // of core.gitProxy settings the first one counts
  GIT_PAGER: 'cat',
  GIT_EDITOR: 'false',
  GIT_SEQUENCE_EDITOR: 'false',
};

interface Setting {
  readonly key: string;
  readonly value: string;
}

/**
 * Splits the output of `git config --list --show-scope -z` into the user's and the repository's
 * settings.
 */
function parse(listing: string): { readonly own: readonly Setting[]; readonly local: readonly Setting[] } {
  const own: Setting[] = [];
  const local: Setting[] = [];
  const parts = listing.split('\0');
  for (let index = 0; index + 1 < parts.length; index += 2) {
    const [key = '', ...lines] = (parts[index + 1] ?? '').split('\n');
    const repository = parts[index] === 'local' || parts[index] === 'worktree';
    (repository ? local : own).push({ key, value: lines.length === 0 ? 'true' : lines.join('\n') });
  }
  return { own, local };
}

/**
 * Pure.
 * @param listing the output of `git config --list --show-scope -z` in the folder, or ''
 * @param env the CLI's environment
 */
function gitVariables(listing: string, env: Variables): Record<string, string> {
  const { own, local } = parse(listing);
  const overrides = new Map<string, readonly string[]>();
  const override = (key: string, initial: string): void => {
    const values = own.filter((setting) => setting.key === key).map(({ value }) => value);
    overrides.set(key, LISTS.test(key) ? ['', ...values] : [values.at(-1) ?? initial]);
  };
  for (const [key, initial] of Object.entries(FIXED)) override(key, initial);
  for (const { key } of own) if (DRIVERS.test(key) || key.startsWith('gpg.')) override(key, '');
  override('credential.helper', '');
  for (const { key } of local) {
    const [, harmless] = NAMED.find(([pattern]) => pattern.test(key)) ?? [];
    if (harmless !== undefined && !overrides.has(key)) override(key, harmless);
    const filter = /^(filter\..*)\.(?:clean|smudge|process)$/.exec(key)?.[1];
    // A filter of the user keeps working: it was set above.
    if (filter === undefined || own.some((setting) => setting.key.startsWith(`${filter}.`))) continue;
    override(`${filter}.process`, '');
    override(`${filter}.required`, 'true');
  }

  if (local.some(({ key }) => PACK_PROGRAMS.test(key))) overrides.set('protocol.file.allow', ['never']);

  const settings = [...overrides].flatMap(([key, values]) => values.map((value) => ({ key, value })));
  const first = Number(env['GIT_CONFIG_COUNT'] ?? 0) || 0;
  const variables: Record<string, string> = { GIT_CONFIG_COUNT: String(first + settings.length) };
  for (const [index, { key, value }] of settings.entries()) {
    variables[`GIT_CONFIG_KEY_${first + index}`] = key;
    variables[`GIT_CONFIG_VALUE_${first + index}`] = value;
  }
  for (const [name, value] of Object.entries(VARIABLES)) variables[name] = env[name] ?? value;
  return variables;
}
