/** The CLI of the scripted day: the tests' fake one, with the steps of the scene of each prompt. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fakePrompt } from '../../tests/helpers/fake-cli.ts';
import { MODEL, SCENES } from './day.ts';

const FAKE_CLI = fileURLToPath(new URL('../../tests/fakes/fake-cli.ts', import.meta.url));
const child = spawn(process.execPath, ['--no-warnings', FAKE_CLI, ...process.argv.slice(2)], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
createInterface({ input: child.stdout }).on('line', (line) =>
  process.stdout.write(`${line.replaceAll('fake-model', MODEL)}\n`),
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
child.on('close', (code) => process.exit(code ?? 1));
// A prompt in a message is escaped as in JSON.
const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);
for await (const line of createInterface({ input: process.stdin })) {
  const scene = line.includes('"user"')
    ? SCENES.find(({ prompt }) => line.includes(inJson(prompt)))
    : undefined;
  const scripted =
    scene === undefined
      ? line
      : line.replace(inJson(scene.prompt), () => inJson(fakePrompt(scene.steps, scene.prompt)));
  child.stdin.write(`${scripted}\n`);
}
child.stdin.end();
