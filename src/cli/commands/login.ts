/** The commands that store and forget the token for a server. */
import { ApiError } from '../../client/errors.ts';
import type { Me } from '../../protocol/key.ts';
import type { Arguments } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { isAddress, TOKEN } from '../find-server.ts';
import { createLogins } from '../logins.ts';

const MAX_TOKEN_BYTES = 16 * 1024;

export const loginCommand: Command = {
  name: 'login',
  usage: '[URL]',
  summary: 'store a token for a server',
  details: `Asks for a key or a JWT, or reads it from stdin, and stores it for this address in
~/.config/bullpen/logins.json, which only you may read. Commands with BULLPEN_URL of this
address use it, unless BULLPEN_TOKEN is set. Default for URL: BULLPEN_URL.`,
  options: {},
  examples: [
    'bullpen login https://bullpen.example.org',
    'get-jwt | bullpen login https://bullpen.example.org',
  ],
  async run(context, args) {
    const { output, env } = context;
    const url = addressOf(context, args);
    const token = await readToken(context, url);
    const me = await whoIs(context, url, token);
    const logins = createLogins(env);
    logins.put(url, token);
    output.note(`logged in to ${url} as ${me.principal}, project ${me.project}`);
    output.note(me.scopes.length === 0 ? 'scopes: none' : `scopes: ${me.scopes.join(', ')}`);
    if (me.expiresAt !== null) output.note(`the token ends at ${me.expiresAt}`);
    if (env['BULLPEN_URL'] !== url) output.note(`commands use it with BULLPEN_URL=${url}`);
    return EXIT.succeeded;
  },
};

export const logoutCommand: Command = {
  name: 'logout',
  usage: '[URL]',
  summary: 'forget the token for a server',
  details: `Removes what \`bullpen login\` has stored. The token stays valid: \`bullpen keys revoke\` ends a
key. Default for URL: BULLPEN_URL.`,
  options: {},
  examples: ['bullpen logout https://bullpen.example.org'],
  async run(context, args) {
    const url = addressOf(context, args);
    const removed = createLogins(context.env).remove(url);
    context.output.note(removed ? `logged out of ${url}` : `there was no login for ${url}`);
    return EXIT.succeeded;
  },
};

function addressOf({ env }: CommandContext, { positionals }: Arguments): string {
  const url = (positionals[0] ?? env['BULLPEN_URL'] ?? '').trim();
  if (positionals.length > 1) throw usageError('only one URL is possible');
  if (url === '') throw usageError('name the server, for example https://bullpen.example.org');
  if (!isAddress(url)) throw usageError('the URL is no http address, for example http://127.0.0.1:3000');
  return url;
}

async function readToken(context: CommandContext, url: string): Promise<string> {
  const typed = await context.readHidden(`token for ${url} (it is not shown):`);
  const given =
    typed ?? (await context.readStdin({ maxBytes: MAX_TOKEN_BYTES, what: 'the token', optional: false }));
  const token = given?.trim() ?? '';
  if (TOKEN.test(token)) return token;
  throw usageError(token === '' ? 'no token was given' : 'the token has characters that no token has');
}

async function whoIs(context: CommandContext, url: string, token: string): Promise<Me> {
  try {
    return await context.client({ url, token, of: 'environment' }).me();
  } catch (error) {
    const isWrong = error instanceof ApiError && error.code === 'auth.unauthenticated';
    if (!isWrong) throw error;
    throw new CommandError(EXIT.noPermission, `the server at ${url} refuses the token`, { cause: error });
  }
}
