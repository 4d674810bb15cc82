/**
 * What keeps git from running programs that the settings of a repository name. `git status` and `git diff` run some
 * (`core.fsmonitor`, `diff.external`, filters), and CLIs allow those commands unasked.
 *
 * Git takes settings from the environment (`GIT_CONFIG_COUNT`) after those of a repository. So each setting that names a
 * program is said once more there: with the value of the user's own configuration, else with git's default. That
 * holds for every repository the CLI comes across. Names that a repository chooses itself (`filter.<name>.clean`) are
 * known for the one whose settings were read.
 */

type Variables = Readonly<Record<string, string | undefined>>;

/** Settings that name a program under a fixed name, and what is said where the user has none of his own. */
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
  'safe.barerepository': 'explicit', // git does not find one among the files of a folder
};

/** Lists: an empty entry takes away what came before. */
const LISTS = /^credential\.(.*\.)?helper$/;

/** Prints what git would, but for options of the command (`-w`, `-U`): `diff.external` cannot be taken back. */
const PLAIN_DIFF =
  'f() { printf "diff --git a/%s b/%s\\n" "$1" "$1"; diff -u --label "a/$1" --label "b/$1" "$2" "$5"; return 0; }; f';

/** A filter that does not run must not let content through unfiltered, into a commit for example. */
const REQUIRED = /^filter\..*\.required$/;

/** Settings that name a program under a name of the repository's own choice (it may be empty), and what makes them harmless. */
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

/** Of these the first one counts, not the last. They name programs of this machine for remotes that are folders of it. */
const PACK_PROGRAMS = /^remote\..*\.(uploadpack|receivepack)$/;

/** The user's own of these are said again: a repository that is not read must not change what their names stand for. */
const DRIVERS = /^((filter|diff|merge)\..*\.[a-z]+|diff\.external|credential\..+)$/;

/** Variables that go before settings: empty ones stand for no program. */
const VARIABLES: Readonly<Record<string, string>> = {
  GIT_ASKPASS: '',
  GIT_PROXY_COMMAND: '', // of core.gitProxy the first one counts, not the last
  GIT_PAGER: 'cat',
  GIT_EDITOR: 'false',
  GIT_SEQUENCE_EDITOR: 'false',
};

interface Setting {
  readonly key: string;
  readonly value: string;
}

/** The output of `git config --list --show-scope -z`, as the user's own settings and those of the repository. */
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
 * The variables for a CLI in a folder that is not trusted. Pure.
 * @param listing what `git config --list --show-scope -z` prints in the folder; '' when it is not known
 * @param env the CLI's environment
 */
export function gitVariables(listing: string, env: Variables): Record<string, string> {
  const { own, local } = parse(listing);
  const said = new Map<string, readonly string[]>();
  const say = (key: string, initial: string): void => {
    const values = own.filter((setting) => setting.key === key).map(({ value }) => value);
    said.set(key, LISTS.test(key) ? ['', ...values] : [values.at(-1) ?? initial]);
  };
  for (const [key, initial] of Object.entries(FIXED)) say(key, initial);
  for (const { key } of own) if (DRIVERS.test(key) || key.startsWith('gpg.')) say(key, '');
  say('credential.helper', '');
  for (const { key } of local) {
    const [, harmless] = NAMED.find(([pattern]) => pattern.test(key)) ?? [];
    if (harmless !== undefined && !said.has(key)) say(key, harmless);
    const filter = /^(filter\..*)\.(?:clean|smudge|process)$/.exec(key)?.[1];
    // One the user has keeps working: it has been said already.
    if (filter === undefined || own.some((setting) => setting.key.startsWith(`${filter}.`))) continue;
    say(`${filter}.process`, '');
    say(`${filter}.required`, 'true');
  }

  if (local.some(({ key }) => PACK_PROGRAMS.test(key))) said.set('protocol.file.allow', ['never']);

  const settings = [...said].flatMap(([key, values]) => values.map((value) => ({ key, value })));
  const first = Number(env['GIT_CONFIG_COUNT'] ?? 0) || 0;
  const variables: Record<string, string> = { GIT_CONFIG_COUNT: String(first + settings.length) };
  for (const [index, { key, value }] of settings.entries()) {
    variables[`GIT_CONFIG_KEY_${first + index}`] = key;
    variables[`GIT_CONFIG_VALUE_${first + index}`] = value;
  }
  for (const [name, value] of Object.entries(VARIABLES)) variables[name] = env[name] ?? value;
  return variables;
}
