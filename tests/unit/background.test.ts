import { expect, test } from 'vitest';
import { unitText } from '../../src/background.ts';

const unit = {
  command: ['/opt/node', '/a b/$x "q" 50%\\.js', 'serve'],
  env: { PATH: '/bin', ODD: 'x "y" \\ %h $HOME\nnext', 'BASH_FUNC_f%%': '() { :; }', NONE: undefined },
  cwd: '/work 1%',
  home: '/data',
  drainMs: 30_000,
  logFile: '/data/server.log',
};

test('a systemd unit has the command, the environment and the folder, quoted as systemd reads them', () => {
  const lines = unitText(unit).split('\n');
  expect(lines).toContain('ExecStart="/opt/node" "/a b/$$x \\"q\\" 50%%\\\\.js" "serve"');
  expect(lines).toContain('WorkingDirectory=/work 1%%');
  expect(lines).toContain('StandardOutput=append:/data/server.log');
  expect(lines.filter((line) => line.startsWith('Environment='))).toEqual([
    'Environment="PATH=/bin"',
    'Environment="ODD=x \\"y\\" \\\\ %%h $HOME\\x0anext"',
  ]);
});

test('a systemd unit stops the server alone, and longer than its running jobs may take', () => {
  const lines = unitText(unit).split('\n');
  expect(lines).toEqual(expect.arrayContaining(['KillMode=mixed', 'TimeoutStopSec=150', 'Delegate=yes']));
});

test.each(['/a\nExecStartPre=/bin/true', '/a\\'])(
  'the path %j is refused, for it would be another line',
  (cwd) => {
    expect(() => unitText({ ...unit, cwd })).toThrow('systemd cannot use the path');
  },
);
