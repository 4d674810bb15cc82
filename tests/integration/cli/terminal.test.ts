/** `bullpen terminal`, `attach` and `replay`, typed on a real terminal. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startTerminalServer, type TerminalServer } from '../../fakes/terminal-server.ts';
import { type Person, sitDown } from '../../helpers/person.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { CACHE_DIR } from '../../helpers/redis-private.ts';
import { tempDir } from '../../helpers/temp.ts';

const NODE_BIN = fileURLToPath(new URL('../../../node_modules/.bin', import.meta.url));

let home: string;
let server: TerminalServer;

async function serve(enabled = true): Promise<void> {
  home = tempDir();
  server = await startTerminalServer(enabled);
  onTestFinished(() => server.stop());
}

/** `bullpen ARGS…` by its user, at a terminal. */
function bullpen(args: readonly string[], size: { cols?: number; rows?: number } = {}): Person {
  return run(process.execPath, ['--no-warnings', PROGRAM, ...args], size);
}
const run = (command: string, args: readonly string[], size: { cols?: number; rows?: number } = {}) =>
  sitDown(command, args, { cwd: home, ...size, env: environment() });
const environment = () => ({
  PATH: [NODE_BIN, process.env['PATH']].join(delimiter),
  ...{ HOME: home, BULLPEN_URL: server.url, BULLPEN_TOKEN: 'token', TERM: 'xterm-256color' },
  BULLPEN_CACHE: CACHE_DIR, // what is compiled is kept for the next start
});

const DETACH = '\u001d';
const idOf = (): string => server.sessions().at(-1)?.id ?? '';

describe('a terminal of the server', () => {
  it('has the size of this one, takes its keys, and is as it was when one comes back', async () => {
    await serve();
    const person = bullpen(['terminal', 'shell'], { cols: 100, rows: 30 });
    await person.sees(/sh>$/);
    person.type('stty size; echo h\u00e4llo\r');
    await person.sees(/^30 100\nh\u00e4llo$/m);
    person.resize(90, 20);
    person.type('until [ "$(stty size)" = "20 90" ]; do sleep 0.1; done; echo now $(stty size)\r');
    const before = await person.sees(/^now 20 90\nsh>$/m);
    person.type(DETACH);
    expect(await person.ended).toBe(0);
    expect(person.screen()).toContain(`detached; bullpen attach ${idOf()}`);

    const again = bullpen(['attach', 'last'], { cols: 90, rows: 20 });
    await again.sees(/^now 20 90\nsh>$/m);
    expect(again.screen()).toBe(before);
    again.type('exit\r');
    expect(await again.ended).toBe(0);
    expect(again.screen()).toContain('ended (exit code 0)');
  });

  it('gets Ctrl-C for its program, and bullpen stays', async () => {
    await serve();
    const person = bullpen(['terminal', 'shell']);
    await person.sees(/sh>$/);
    person.type('sleep 100\r');
    await person.sees(/sleep 100$/);
    person.type('\u0003');
    await person.sees(/\^C\nsh>$/);
    person.type('exit 7\r');
    expect(await person.ended).toBe(7);
    expect(person.screen()).toContain('ended (exit code 7)');
  });

  it('is only looked at with --read-only', async () => {
    await serve();
    const writer = bullpen(['terminal', 'shell']);
    await writer.sees(/sh>$/);
    const reader = bullpen(['attach', idOf().slice(-6), '--read-only'], { cols: 60, rows: 10 });
    await reader.sees(/sh>$/);
    reader.type('echo from the reader\r\u001b[200~\u0003\u001d\u001b[201~'); // pasted keys do not leave
    writer.type('stty size\r');
    await writer.sees(/24 80/);
    await reader.sees(/24 80/);
    expect(writer.screen()).not.toContain('from the reader');
    expect(reader.written()).toContain('it has 80 × 24, more than this terminal shows');
    reader.type('\u0003');
    expect(await reader.ended).toBe(0);
    writer.type('exit\r');
    await writer.ended;
  });

  it('is shown to several people alike, and takes what each of them types', async () => {
    await serve();
    const one = bullpen(['terminal', 'shell']);
    await one.sees(/sh>$/);
    const two = bullpen(['attach', 'last']);
    await two.sees(/sh>$/);
    one.type('echo one\r');
    await two.sees(/^one$/m);
    two.type('echo two\r');
    await one.sees(/^two\nsh>$/m);
    await two.sees(/^two\nsh>$/m);
    expect(two.screen()).toBe(one.screen());
  });

  it('gets no answers of this terminal to the questions of its program', async () => {
    await serve();
    const person = bullpen(['terminal', 'shell']);
    await person.sees(/sh>$/);
    // Two terminals answer; the program must get one answer.
    person.type('printf \'\\033[6n\'; read -rs -t 2 -d R; read -rs -t 1 -n 1 more; echo "more=$more."\r');
    await person.sees(/more=\.\nsh>$/);
  });

  it.each([
    ['by its key', (person: Person) => person.type(DETACH), 0],
    ['by SIGTERM', (person: Person) => person.signal('SIGTERM'), 130],
  ])('that is left %s in a full-screen program leaves this terminal as it was', async (_, leave, code) => {
    await serve();
    const shell = run('bash', ['--norc', '--noprofile']);
    await shell.sees(/[#$]$/);
    const [settings, modes] = ['stty -a | cksum', shell.modes()];
    shell.type(`${settings}\r`);
    const before = /^\d{5,} \d+$/m.exec(await shell.sees(/^\d{5,} \d+$/m))?.[0];
    const person = bullpen(['terminal', 'shell']);
    const fresh = person.modes();
    await person.sees(/sh>$/);
    person.type("printf '\\033[?1049h\\033[?25l\\033[?2004h\\033[?1002h\\033[?1h in full'; sleep 100\r");
    await person.sees(/in full/);
    expect(person.modes()).not.toEqual(fresh);
    leave(person);
    expect(await person.ended).toBe(code);
    expect(person.modes()).toEqual(fresh);
    expect(person.written()).toContain('\u001b[?25h');
    // The settings of the line are those of the shell below, when it runs the command.
    shell.type(`node --no-warnings ${PROGRAM} attach last\r`);
    await shell.sees(/in full/);
    shell.type(DETACH);
    await shell.sees(/detached; /);
    shell.type(`clear; ${settings}\r`);
    await shell.sees(new RegExp(`^${before}$`, 'm'));
    await expect.poll(shell.modes).toEqual(modes); // the shell sets its own with the next prompt
  });

  it('gives nothing of a paste to the shell below when one leaves it', async () => {
    await serve();
    const shell = run('sh', ['-i']);
    await shell.sees(/[#$]$/);
    shell.type(`node --no-warnings ${PROGRAM} terminal shell\r`);
    await shell.sees(/sh>$/);
    shell.type(`${DETACH}${'x'.repeat(20_000)}\rtouch leaked\r`);
    await shell.sees(/detached; /);
    shell.type('echo whole\r');
    await shell.sees(/whole\n[#$]$/);
    expect(existsSync(join(home, 'leaked'))).toBe(false);
  });

  it('is shown again after a broken connection, with all that came meanwhile', async () => {
    await serve();
    const person = bullpen(['terminal', 'shell']);
    await person.sees(/sh>$/);
    person.type('for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done\r');
    await person.sees(/line 2/);
    server.cut();
    person.type('echo typed meanwhile\r');
    const screen = await person.sees(/^typed meanwhile\nsh>$/m);
    expect(screen.match(/^line \d$/gm)).toEqual([1, 2, 3, 4, 5, 6].map((at) => `line ${at}`));
  });
});

describe('bullpen terminal', () => {
  it('prints the id with --detach', async () => {
    await serve();
    const person = bullpen(['terminal', 'shell', '--detach', '--name', 'build']);
    expect(await person.ended).toBe(0);
    expect(person.screen()).toBe(idOf());
    const list = bullpen(['sessions'], { cols: 160 });
    await list.ended;
    expect(list.screen()).toMatch(/terminal +busy +shell .* build/);
  });

  it('says how terminals are switched on, and what there is', async () => {
    await serve(false);
    const person = bullpen(['terminal'], { cols: 160 });
    expect(await person.ended).toBe(77);
    expect(person.screen()).toMatch(/terminals are off on this server; `terminals: \{enabled: true\}`/);
    await serve();
    const other = bullpen(['terminal', 'nope'], { cols: 160 });
    expect(await other.ended).toBe(64);
    expect(other.screen()).toContain('no provider and no command "nope"; the providers are claude, codex');
  });
});

describe('bullpen replay', () => {
  it('plays what a terminal has shown, as fast as one likes', async () => {
    await serve();
    const person = bullpen(['terminal', 'shell']);
    await person.sees(/sh>$/);
    person.type('echo to be seen again; exit 3\r');
    expect(await person.ended).toBe(3);
    const player = bullpen(['replay', idOf(), '--speed', '10']);
    expect(await player.ended).toBe(0);
    expect(player.screen()).toMatch(/^to be seen again$/m);
    const raw = bullpen(['replay', idOf(), '--raw'], { cols: 200 });
    expect(await raw.ended).toBe(0);
    expect(raw.screen()).toMatch(/^\{"version":2,"width":80,"height":24\}\n\[\d+\.\d+,"o",/);
    const over = bullpen(['attach', idOf()], { cols: 160 });
    expect(await over.ended).toBe(64);
    expect(over.screen()).toContain(`ended (exit code 3); bullpen replay ${idOf()} shows it`);
  });
});
