import { AppError } from '../errors.ts';
import type { PromptRequest } from '../protocol/prompt.ts';

type RawFields = Omit<Partial<PromptRequest>, 'prompt'>;

/** Flags that only say what Bullpen does anyway. */
const ABSORBED = new Set(['-p', '--print', '--verbose', '--include-partial-messages']);

const integer = (flag: string, value: string): number => {
  if (!/^\d{1,6}$/.test(value))
    throw new AppError('request.invalid', `the argument ${flag} needs a whole number`);
  return Number(value);
};

/** The allow-list: flag → the field of a job request it stands for, which is then checked like any other. */
const FLAGS = new Map<string, (value: string) => RawFields>([
  ['--model', (model) => ({ model })],
  ['--effort', (effort) => ({ effort: effort as NonNullable<PromptRequest['effort']> })], // checked with the request
  ['--max-turns', (turns) => ({ maxTurns: integer('--max-turns', turns) })],
  ['--append-system-prompt', (appendSystemPrompt) => ({ appendSystemPrompt })],
]);

/**
 * The CLI arguments of a raw request as fields of a job request.
 * @throws AppError request.invalid that names the argument that is not allowed
 */
export function parseRawArgs(args: readonly string[]): { fields: RawFields; format: string } {
  let fields: RawFields = {};
  let format = 'text';
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] ?? '';
    if (ABSORBED.has(arg)) continue;
    const [flag = '', inline] = arg.split(/=(.*)/s, 2);
    const value = inline ?? args[i + 1];
    if (flag === '--output-format') {
      if (value !== 'text' && value !== 'json' && value !== 'stream-json') {
        throw new AppError('request.invalid', 'the argument --output-format needs text, json or stream-json');
      }
      format = value;
    } else {
      const field = FLAGS.get(flag);
      if (field === undefined)
        throw new AppError('request.invalid', `the argument ${flag} is not allowed in a raw request`);
      if (value === undefined) throw new AppError('request.invalid', `the argument ${flag} needs a value`);
      fields = { ...fields, ...field(value) };
    }
    if (inline === undefined) i += 1;
  }
  return { fields, format };
}
