import type { Client } from '../client/client.ts';
import type { Arguments } from './arguments.ts';
import { CommandError, usageError } from './command-error.ts';
import { EXIT } from './exit-codes.ts';

const WHOLE = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
/** Shorter ends are too likely to mean several. */
const PART = /^[0-9A-HJKMNP-TV-Z]{4,25}$/;
const LOOKED_AT = 100;

/** The one id a command was given. @throws CommandError */
export function idArgument(args: Arguments): string {
  const [id, ...more] = args.positionals;
  if (id === undefined || id.trim() === '')
    throw usageError('which job? Give its id; `bullpen jobs` lists them');
  if (more.length > 0) throw usageError(`one job at a time; there is no place for ${more.join(' ')}`);
  return id;
}

/**
 * A job's whole id: as it is, in small letters, or its last characters (at least four) when only one of the
 * newest hundred jobs ends so.
 * @throws CommandError when there is none, or more than one
 */
export async function resolveJobId(client: Pick<Client, 'list'>, given: string): Promise<string> {
  const id = given.trim().toUpperCase();
  if (WHOLE.test(id)) return id;
  if (!PART.test(id)) throw usageError(`${JSON.stringify(given)} is no job id; \`bullpen jobs\` lists them`);
  const { data } = await client.list({ limit: LOOKED_AT });
  const [found, other] = data.filter((job) => job.id.endsWith(id) || job.id.startsWith(id));
  if (found === undefined) {
    throw new CommandError(EXIT.usage, `none of the newest ${LOOKED_AT} jobs has an id like ${given}`);
  }
  if (other !== undefined) throw usageError(`${given} may be ${found.id} or ${other.id}: give more of it`);
  return found.id;
}
