import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { renderConfig, serverPaths } from '../../../src/redis/private/server-files.ts';
import { defaultUserRules, renderAcl } from '../../../src/redis/private/users.ts';

const rules = (requestChannel = 'claude:cli:requests') =>
  defaultUserRules({ requestChannel, responseChannel: 'claude:cli:responses' });

describe('renderAcl', () => {
  const acl = renderAcl('secret', { password: 'other', rules: ['-@all', '+ping'] });

  test('holds the hash of the password and never the password', () => {
    for (const password of ['secret', 'other']) {
      expect(acl).toContain(`#${createHash('sha256').update(password).digest('hex')}`);
      expect(acl).not.toContain(password);
    }
  });

  test('gives the default user every right, for the replay of the file, and no login', () => {
    expect(acl.split('\n')[1]).toBe('user default off resetpass ~* &* +@all');
  });
});

describe('defaultUserRules', () => {
  test('take everything from the default user before they give the little it may do', () => {
    expect(rules().join(' ')).toBe(
      'reset resetchannels on nopass &claude:cli:requests &claude:cli:responses ' +
        '+ping +publish +subscribe +unsubscribe +command|docs',
    );
  });

  test('take a channel name with a hash tag', () => {
    expect(rules('{bullpen}:requests')).toContain('&{bullpen}:requests');
  });

  test.each(['', '*', 'a*', 'a?', '[ab]', 'a b', 'a\n&*', 'a\\', '"a"'])(
    'refuse the channel name %j',
    (name) => {
      expect(() => rules(name)).toThrow(expect.objectContaining({ code: 'config.invalid' }));
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

  test('names a socket that only the own user may use, unless its path is too long for one', () => {
    expect(config('/data')).toContain('unixsocket "/data/redis.sock"\nunixsocketperm 700\n');
    expect(config(`/${'long'.repeat(30)}`)).not.toContain('unixsocket');
  });

  test('escapes what ends a quoted word', () => {
    expect(config('/a "b" \\c')).toContain('dir "/a \\"b\\" \\\\c/data"');
  });

  test('refuses a path with a line break', () => {
    expect(() => config('/a\nrequirepass x')).toThrow(expect.objectContaining({ code: 'config.invalid' }));
  });
});
