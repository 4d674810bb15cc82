import { AppError, messageOf } from '../../errors.ts';
import type { CustomSettings } from '../../protocol/provider-settings.ts';
import { placeholdersOf } from './command.ts';

type Checked = Pick<CustomSettings, 'args' | 'stdin' | 'warmStart' | 'output' | 'success'>;

/**
 * What a schema cannot say about a custom command's settings.
 * @throws AppError config.invalid, naming the setting
 */
export function checkCustomSettings(name: string, settings: Checked): void {
  const { args, stdin, output, success } = settings;
  const refuse = (setting: string, why: string): never => {
    throw new AppError('config.invalid', `providers.custom.${name}.${setting}: ${why}`);
  };
  const { known, unknown } = placeholdersOf(args);
  if (unknown.length > 0) refuse('args', `there is no placeholder {{${unknown[0]}}}`);
  if (!stdin && !known.includes('promptFile')) {
    refuse('stdin', 'without it an argument must hold {{promptFile}}, or the command never gets the prompt');
  }
  if (settings.warmStart && (!stdin || known.includes('promptFile'))) {
    refuse('warmStart', 'the command gets its prompt by a file, which has to be there when it starts');
  }
  for (const setting of ['pattern', 'failurePattern'] as const) {
    try {
      if (success[setting] !== null) new RegExp(success[setting]);
    } catch (error) {
      refuse(`success.${setting}`, messageOf(error));
    }
  }
  if (success.json !== null && output === 'text') {
    refuse('success.json', 'the output is text; only JSON has a place to look at');
  }
}
