/**
 * Attacks on a server of this kind, and the tests that make them. When a test is renamed or
 * removed, its row fails.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** Test file below tests/, and the beginning of a test's name or one of its inputs. */
type Where = readonly [file: string, ...texts: string[]];

const HTTP = 'unit/http';
const DOOR = 'unit/remote';
const TESTED: Readonly<Record<string, readonly Where[]>> = {
  // Tokens
  'no token, an empty one, or two headers': [
    [`${HTTP}/auth.test.ts`, 'every wrong way to send a token is the same 401', 'two Authorization headers'],
  ],
  'a JWT with alg none, in any case': [['unit/auth/jwt.test.ts', "['none', 'None', 'nOnE', '']"]],
  'a public key as the secret of a JWT': [['unit/auth/jwt.test.ts', 'with the public key as a secret']],
  'a short or empty secret at the start': [
    ['unit/config/safe-start.test.ts', 'the secret %j stops the start'],
    ['unit/auth/jwt.test.ts', 'a key file stops the start'],
  ],
  'a Redis on another machine without a password or TLS': [
    ['unit/config/safe-start.test.ts', '%s needs the word of the operator: %s'],
  ],
  'times of a JWT': [['unit/auth/jwt.test.ts', 'without an expiry', 'not valid yet', '"exp":1e400']],
  'header of a JWT that names a key or an address': [
    ['unit/auth/jwt.test.ts', 'counts by the key of the server, whatever the header names'],
  ],
  'a token of a revoked key': [
    [`${HTTP}/keys.test.ts`, 'the revocation of a key ends its login, its tickets and its open streams'],
    ['integration/executor/rights.test.ts', 'a job of a key that counts no longer ends as auth.revoked'],
  ],
  'claims of another token under its signature': [
    ['unit/auth/jwt.test.ts', 'that is missing, or of another key'],
  ],
  'a key that is cut, long, or in the address': [[`${HTTP}/auth.test.ts`, 'access_token=', '1024 * 1024']],
  'a token of another length': [['unit/auth/keyring.test.ts', 'test.each']],
  'a thousand wrong tokens': [
    ['unit/auth/guesses.test.ts', 'an address may send twenty wrong tokens'],
    [`${HTTP}/jwts.test.ts`, 'x-forwarded-for'],
  ],

  // What belongs to others
  "another project's job, batch, stream or usage": [
    [`${HTTP}/scopes.test.ts`, 'says nothing of what another project owns'],
    ['integration/two-servers.test.ts', 'keep projects apart'],
  ],
  'guessed ids': [[`${HTTP}/jobs-read.test.ts`, 'the id %s is a job that is not there']],
  'a route of admins, the board, metrics': [
    [`${HTTP}/scopes.test.ts`, 'with a key for %s'],
    [`${HTTP}/auth.test.ts`, 'metrics and the board are for admins'],
    ['integration/http/board.test.ts', 'the board writes nothing, even past our own refusal'],
  ],
  'fields that name an owner or the queue': [[`${HTTP}/attacks.test.ts`, 'no field of a body says who made']],
  'a list of a billion, a negative offset': [[`${HTTP}/jobs-read.test.ts`, "'limit=1e9'", "'offset=-1'"]],

  // Bodies
  'malformed bodies and wrong types': [
    [`${HTTP}/bad-bodies.test.ts`, 'malformed JSON', 'the type %s is 415', 'not UTF-8 are 400'],
  ],
  'too large, chunked or compressed bodies': [
    [`${HTTP}/limits.test.ts`, 'a body one byte over the limit is 413, with Content-Length or chunked'],
    [`${HTTP}/bad-bodies.test.ts`, 'a compressed body is 415'],
  ],
  'prototypes in JSON': [[`${HTTP}/bad-bodies.test.ts`, '__proto__ deep inside', 'constructor.prototype']],
  'deep or wide JSON, duplicate keys, 1e999': [
    [`${HTTP}/bad-bodies.test.ts`, 'are 400 at little cost'],
    [`${HTTP}/bad-fields.test.ts`, 'the last of two equal fields is used', '1e999'],
  ],
  'prompts without text, with NUL, of any sign, too long': [
    [`${HTTP}/bad-fields.test.ts`, 'the prompt %j is 400', 'the prompt %j passes', 'a prompt may have 1 MiB'],
  ],
  'names of providers and models': [[`${HTTP}/bad-fields.test.ts`, '--model=x', '"provider":"-p"']],
  'times that are no times': [[`${HTTP}/bad-fields.test.ts`, '"timeoutMs":1e12', '"timeoutMs":"5"']],
  'every route, with any mistake': [['integration/http/fuzz.test.ts', 'without a 5xx']],

  // What is started
  'a prompt that looks like an argument or a command': [
    ['unit/providers/claude/command.test.ts', 'reaches the CLI by stdin alone', 'begins with a slash'],
    ['contracts/claude-workspace-canary.test.ts', 'mentions a file with @ does not read it'],
  ],
  'options that would become further arguments': [
    ['unit/providers/claude/command.test.ts', 'stay joined to their own flag'],
    [`${HTTP}/bad-fields.test.ts`, '"allowedTools":["Read,Bash"]'],
  ],
  'arguments, variables and programs in a body': [[`${HTTP}/attacks.test.ts`, "'executable'", "'mcpConfig'"]],
  'full access without permission': [
    ['unit/jobs/resolve-prompt.test.ts', 'may ask for full access only where the server allows it'],
    ['unit/rpc/raw-args.test.ts', 'full access, which the settings must allow'],
  ],
  'rights that the maker of a job does not have': [
    ['unit/jobs/resolve-prompt.test.ts', 'may be only what the grant of its caller allows'],
    ['integration/executor/rights.test.ts', 'a fallback that the grant does not allow does not run'],
  ],
  'a decision by what asks for it, by a reader, or for another project': [
    ['unit/jobs/approvals.test.ts', 'is never taken from a job', 'is hidden from another project'],
    [`${HTTP}/approvals.test.ts`, 'to read is not to decide'],
  ],
  'a rule for the session that allows more than its job may': [
    ['unit/jobs/approvals.test.ts', 'is no more than the job, and who decides, may allow'],
    ['integration/approvals.test.ts', 'which the grant of the key must cover'],
  ],
  'a message into a turn that may do more than its sender': [
    ['unit/jobs/session-messages.test.ts', 'needs a CLI that takes it, rights for what the turn may do'],
    ['integration/approvals.test.ts', 'for a caller with fewer rights than the turn'],
  ],
  'a working directory outside the roots': [
    ['unit/workspace.test.ts', 'is outside a root whose name is only the beginning', 'a link leads out'],
  ],
  'a directory that is swapped before the start': [
    ['integration/processes/spawn.test.ts', 'starts nothing outside the checked folder'],
    ['integration/executor/executor.test.ts', 'where a link has taken the place of its folder'],
  ],
  'variables of the server in a CLI': [
    ['unit/providers/environment.test.ts', 'holds the base names and nothing else', 'never lets %s through'],
    ['e2e/secrets.test.ts', 'no secret of the server leaves it'],
  ],
  'settings, hooks and servers of a workspace': [
    ['contracts/claude-workspace-canary.test.ts', 'runs none of them'],
    ['clis/codex-workspace-canary.test.ts', "workspace's own commands do not run"],
    ['clis/gemini-workspace-canary.test.ts', 'runs none of them'],
    ['integration/executor/untrusted-git.test.ts', 'runs no program by %s'],
  ],
  'a run that costs too much or uses too much': [
    ['integration/usage/cost-cap.test.ts', 'a run is ended when its tokens cost more than it may'],
    ['integration/settings.test.ts', 'CPU use stays above the limit'],
  ],

  // The network
  'more requests than the server can do': [
    [`${HTTP}/overload.test.ts`, 'with too many requests under way', 'without a right token'],
  ],
  'slow headers, slow bodies, idle connections': [
    [`${HTTP}/limits.test.ts`, 'slow headers and a silent connection are 408', 'a slow body is cut off'],
  ],
  'long headers, addresses and parameters': [
    [`${HTTP}/limits.test.ts`, '20 kB of headers or of address are 431'],
    [`${HTTP}/answers.test.ts`, "'x'.repeat(300)"],
  ],
  'request smuggling': [[`${HTTP}/not-http.test.ts`, 'a bad chunk is 400', 'no HTTP after a request']],
  'a forged X-Forwarded-For': [[`${HTTP}/own-names.test.ts`, 'x-forwarded-for']],
  'a page that uses the login of its reader': [
    [`${HTTP}/login-cookie.test.ts`, 'for changes from the same origin only'],
    [`${HTTP}/own-names.test.ts`, 'a request for another name is 421'],
    [`${HTTP}/login.test.ts`, 'another site cannot log a browser in or out'],
  ],
  'a login cookie after the logout, of another server, or signed with an old token': [
    ['unit/auth/logins.test.ts', 'so does a logout', '%s ends every login'],
    ['integration/auth/logins.test.ts', 'holds over a restart', 'a new admin token ends every login'],
  ],
  'the code of a login link': [
    [`${HTTP}/login-links.test.ts`, 'as the caller that made it, once', 'too old after a minute'],
    [`${HTTP}/login-links.test.ts`, 'made-up codes count as wrong tokens', 'a login makes no link'],
  ],
  'scripts in the page': [
    [`${HTTP}/page.test.ts`, 'documents run scripts and styles of this server only'],
    [`${HTTP}/page.test.ts`, 'no other address is a file of the page'],
  ],
  'more jobs than a caller may make': [
    [`${HTTP}/rate-limits.test.ts`, '429'],
    ['contracts/records/limiting.ts', 'it('],
  ],
  'a caller who fills the queue': [
    ['contracts/records/starvation.ts', 'it('],
    ['integration/queue/upkeep.test.ts', 'a call is refused when, as last counted, more jobs would wait'],
  ],
  'texts that make a pattern slow': [
    [`${HTTP}/attacks.test.ts`, 'no pattern of the API takes long'],
    ['unit/auth/tool-patterns.test.ts', 'no pattern takes long'],
  ],

  // An executor on another host
  'a signature that is missing, wrong, cut, of another form, or sent twice': [
    [`${DOOR}/signature-attacks.test.ts`, 'sM1: ', 'two headers of the same name on the wire'],
  ],
  'a signature that is old, from the future, or without a time': [
    [`${DOOR}/signature-attacks.test.ts`, 'sM2: ', "['301 s ahead'", "['NaN'"],
  ],
  'a signature that was seen on the way': [
    [`${DOOR}/signature-attacks.test.ts`, 'sM3: ', 'two copies that come together'],
    ['integration/remote/door.test.ts', 'is accepted once, also after kill -9 and a restart'],
  ],
  'the signature of another request': [
    [`${DOOR}/signature-attacks.test.ts`, 'sM4: ', 'another query, and none', 'reordered, or with a space'],
  ],
  'a secret that was replaced, or is weak': [
    [`${DOOR}/signature-attacks.test.ts`, 'sM5: '],
    ['unit/config/executor-safety.test.ts', 'the secret of a start (%s)'],
  ],
  'a signed body that is too large or too slow': [
    [`${DOOR}/signature-attacks.test.ts`, 'sM6: ', 'a body that nothing signed is not parsed'],
  ],
  'an address that asks the executor again and again': [
    [`${DOOR}/door-status.test.ts`, 'then 429 says when to ask again', 'x-forwarded-for'],
  ],

  // What is told and kept
  'secrets in what a CLI prints': [
    ['unit/redactor.test.ts', 'is replaced in base64'],
    ['e2e/secrets.test.ts', 'no secret of the server leaves it'],
  ],
  'lines and escapes in the log or on a terminal': [
    [`${HTTP}/attacks.test.ts`, 'what a request brings into the log is one line'],
    ['unit/cli/log-lines.test.ts', 'is safe on a terminal'],
    ['unit/cli/denials.test.ts', 'harmless for a terminal'],
  ],
  'details in an error': [[`${HTTP}/answers.test.ts`, 'an unknown error shows its details in the log only']],
  'a ticket or token in the log': [[`${HTTP}/stream-tokens.test.ts`, 'no ticket and no token is in the log']],
  'a changed, missing or rewritten entry of the audit': [
    ['integration/audit.test.ts', 'a copy that was changed is found'],
    ['integration/store/audit.test.ts', 'that was written again does not fit the link in Redis'],
  ],
  'a job or a key that another client of Redis has made or changed': [
    ['integration/executor/rights.test.ts', 'a job that another client of Redis has made or changed starts'],
    ['integration/auth/keys.test.ts', 'a record that another program has changed changes no right'],
  ],
  'commands of Redis beyond the rights of a user': [
    ['integration/redis/default-user.test.ts', 'may not %s'],
    ['integration/redis/worker-user.test.ts', 'reaches what a worker needs'],
  ],
  'files in the package': [['e2e/package.test.ts', 'and nothing else']],
  'files that other users can read': [
    ['integration/private-process.test.ts', 'every file of the data folder is private'],
  ],
};

test.each(Object.entries(TESTED))('%s: has its test', (_attack, places) => {
  for (const [file, ...texts] of places) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    expect(existsSync(path), file).toBe(true);
    const source = readFileSync(path, 'utf8');
    for (const text of texts) expect(source, file).toContain(text);
  }
});
