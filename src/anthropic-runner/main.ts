/**
 * The command behind the `anthropic-sdk` provider: one prompt to the Messages API. A JSON document on stdin, JSON
 * lines on stdout, exit code 0 for an answer and 1 for anything else. `--version` prints the SDK's.
 */
import { text } from 'node:stream/consumers';
import type { AnthropicRequest } from '../protocol/anthropic-runner.ts';

if (process.argv[2] === '--version') {
  const { VERSION } = await import('@anthropic-ai/sdk/version');
  process.stdout.write(`${VERSION}\n`);
} else {
  const [{ answer }, stdin] = await Promise.all([import('./answer.ts'), text(process.stdin)]);
  const request = JSON.parse(stdin) as AnthropicRequest; // written by our own provider
  const answered = await answer({
    request,
    env: process.env,
    write: (line) => process.stdout.write(`${JSON.stringify(line)}\n`),
  });
  // Not `exit()`: what was written may still be on its way.
  process.exitCode = answered ? 0 : 1;
}
