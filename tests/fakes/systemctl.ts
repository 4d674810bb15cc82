/**
 * `systemctl --user`, as far as `bullpen up` needs it: starts the unit in
 * $XDG_RUNTIME_DIR/systemd/user and shows its state. Notes its calls in $XDG_RUNTIME_DIR/calls.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const runtime = process.env['XDG_RUNTIME_DIR'] ?? '';
const args = process.argv.slice(2);
appendFileSync(join(runtime, 'calls'), `${args.join(' ')}\n`);
const [, command, unit = ''] = args;
const state = join(runtime, `${unit}.state`);

/** The words of a line, as systemd reads them. */
const words = (line: string): string[] =>
  [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) =>
    word
      .replaceAll('%%', '%')
      .replace(/\\x([0-9a-f]{2})|\\(.)/g, (_, hex?: string, char?: string) =>
        hex === undefined ? (char ?? '') : String.fromCharCode(Number.parseInt(hex, 16)),
      ),
  );

if (command === 'start') {
  const lines = readFileSync(join(runtime, 'systemd', 'user', unit), 'utf8').split('\n');
  const values = (name: string): string[] =>
    lines.flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1)] : []));
  const [start = ''] = values('ExecStart');
  const environment = values('Environment').flatMap(words);
  const log = openSync((values('StandardOutput')[0] ?? '').replace('append:', ''), 'a', 0o600);
  // A shell waits for the exit code, as the manager does.
  const script = `"$@"; echo $? > '${state}'`;
  const program = words(start).map((word) => word.replaceAll('$$', '$'));
  spawn('/bin/sh', ['-c', script, 'sh', ...program], {
    cwd: values('WorkingDirectory')[0],
    env: Object.fromEntries(environment.map((one) => one.split(/=(.*)/s, 2))),
    detached: true,
    stdio: ['ignore', log, log],
  }).unref();
}
if (command === 'show') {
  const status = existsSync(state) ? readFileSync(state, 'utf8').trim() : '';
  const active = status === '' ? 'active' : status === '0' ? 'inactive' : 'failed';
  process.stdout.write(`ActiveState=${active}\nExecMainStatus=${status || 0}\n`);
}
if (command === 'reset-failed') {
  if (!existsSync(state)) process.exit(1); // "Unit … not loaded."
  writeFileSync(state, '');
}
