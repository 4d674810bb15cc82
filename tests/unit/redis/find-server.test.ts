import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { executablesOnPath, isAtLeast, parseServerVersion } from '../../../src/redis/private/find-server.ts';
import { parseSimulatedInstall } from '../../../src/redis/private/provision-apt.ts';
import { tempDir } from '../../helpers/temp.ts';

describe('parseServerVersion', () => {
  test.each([
    ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=d0b6ac41b1128ade', '7.0.15'],
    ['Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', '8.1.1'],
    ['Redis server v=255.255.255 sha=unstable', '255.255.255'],
    ['something else', null],
  ])('reads %j', (output, version) => {
    expect(parseServerVersion(output)).toBe(version);
  });
});

test.each([
  ['6.2.0', true],
  ['6.10.0', true],
  ['10.0.0', true],
  ['6.1.99', false],
  ['5.0.14', false],
])('version %s is new enough: %s', (version, expected) => {
  expect(isAtLeast(version, '6.2.0')).toBe(expected);
});

test('the search ignores relative entries of PATH and files that are no programs', () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'redis-server'), '');
  expect(executablesOnPath('redis-server', `.:bin::${dir}`)).toEqual([]);
});

test('parseSimulatedInstall names what is missing or too old, but never the C library', () => {
  const output = [
    'Reading package lists...',
    'The following NEW packages will be installed:',
    '  liblzf1 redis-server redis-tools',
    'Inst libc6 [2.36-9] (2.36-10 Debian:12 [amd64])',
    'Inst libssl3 [3.0.1] (3.0.2 Debian:12 [amd64])',
    'Inst liblzf1 (3.6-3 Debian:12 [amd64])',
    'Inst redis-server (5:7.0.15-1 Debian:12 [amd64])',
    'Conf liblzf1 (3.6-3 Debian:12 [amd64])',
  ].join('\n');
  expect(parseSimulatedInstall(output)).toEqual(['libssl3', 'liblzf1', 'redis-server']);
});
