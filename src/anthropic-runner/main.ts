/**
 * The command of the `anthropic-sdk` provider: one prompt to the Messages API. It reads a JSON
 * document from stdin, writes JSON lines to stdout, and exits with 0 for an answer, else with 1.
 * `--version` prints the version of the SDK.
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
  // Not `exit()`: stdout may not be written yet.
  process.exitCode = answered ? 0 : 1;
}
