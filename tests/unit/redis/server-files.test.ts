import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { renderAcl, renderConfig, serverPaths } from '../../../src/redis/server-files.ts';

const acl = (requestChannel = 'claude:cli:requests') =>
  renderAcl({ password: 'secret', requestChannel, responseChannel: 'claude:cli:responses' });

describe('renderAcl', () => {
  test('holds the hash of the password and never the password', () => {
    expect(acl()).toContain(`#${createHash('sha256').update('secret').digest('hex')}`);
    expect(acl()).not.toContain('secret');
  });

  test('takes everything from the default user before it gives the little it may do', () => {
    expect(acl().split('\n')[1]).toBe(
      'user default on nopass resetkeys resetchannels &claude:cli:requests &claude:cli:responses ' +
        '-@all +ping +publish +subscribe +unsubscribe +command|docs',
    );
  });

  test('takes a channel name with a hash tag', () => {
    expect(acl('{bullpen}:requests')).toContain(' &{bullpen}:requests ');
  });

  test.each(['', '*', 'a*', 'a?', '[ab]', 'a b', 'a\n&*', 'a\\', '"a"'])(
    'refuses the channel name %j',
    (name) => {
      expect(() => acl(name)).toThrow(expect.objectContaining({ code: 'config.invalid' }));
    },
  );
});

describe('renderConfig', () => {
  const config = (dir: string) => renderConfig({ paths: serverPaths(dir), port: 20_001, fsync: 'always' });

  test('names the port and the policy', () => {
    expect(config('/data').split('\n')).toEqual(
      expect.arrayContaining(['port 20001', 'appendfsync always', 'bind 127.0.0.1', 'dir "/data/data"']),
    );
  });

  test('escapes what ends a quoted word', () => {
    expect(config('/a "b" \\c')).toContain('dir "/a \\"b\\" \\\\c/data"');
  });

  test('refuses a path with a line break', () => {
    expect(() => config('/a\nrequirepass x')).toThrow(expect.objectContaining({ code: 'config.invalid' }));
  });
});
