import headless from '@xterm/headless';
import { expect, it } from 'vitest';
import { createTerminalModes } from '../../../src/cli/terminal-modes.ts';

const write = (terminal: InstanceType<typeof headless.Terminal>, text: string | Uint8Array) =>
  new Promise<void>((resolve) => terminal.write(text, resolve));
const stateOf = ({ modes, buffer }: InstanceType<typeof headless.Terminal>) => ({
  ...modes,
  buffer: buffer.active.type,
});

const PROGRAM =
  '\u001b[?1049h\u001b[?1;25h\u001b=\u001b[?25l\u001b[?7l\u001b[?1000;1006h\u001b[?2004h\u001b[?1004h\u001b[4h\u001b[5;10r\u001b[31m';

it('everything that a program switched is switched back, however its output is cut', async () => {
  const fresh = stateOf(new headless.Terminal({ allowProposedApi: true }));
  const output = Buffer.from(PROGRAM);
  for (let cut = 1; cut < output.length; cut += 1) {
    const terminal = new headless.Terminal({ allowProposedApi: true });
    const modes = createTerminalModes();
    for (const part of [output.subarray(0, cut), output.subarray(cut)]) {
      modes.see(part);
      await write(terminal, part);
    }
    expect(stateOf(terminal)).not.toEqual(fresh);
    await write(terminal, modes.reset());
    expect(stateOf(terminal), `cut at ${cut}`).toEqual(fresh);
  }
});

it('what a program has switched back itself, or never touched, is left alone', () => {
  const modes = createTerminalModes();
  const before = modes.reset();
  modes.see(Buffer.from('\u001b[?1049h\u001b[?25l'));
  modes.see(Buffer.from('\u001b[?25h\u001b[?1049l'));
  expect(modes.reset()).toBe(before);
});

it('extended keys end, of either kind', () => {
  const modes = createTerminalModes();
  modes.see(Buffer.from('\u001b[>1u\u001b[>4;2m'));
  const reset = modes.reset();
  expect(reset).toContain('\u001b[<9u');
  expect(reset).toContain('\u001b[>4m');
  expect(modes.reset()).not.toContain('u');
});
