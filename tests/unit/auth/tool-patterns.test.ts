import { expect, test } from 'vitest';
import { covers } from '../../../src/auth/tool-patterns.ts';

test.each([
  ['Bash', 'Bash'],
  ['Bash', 'Bash(rm -rf *)'],
  ['Bash(git *)', 'Bash(git *)'],
  ['Bash(git *)', 'Bash(git log --format=%H *)'],
  ['Bash(git *)', 'Bash(git log:*)'],
  ['Bash(npm run *)', 'Bash(npm run test/unit)'],
  ['Bash(*)', 'Bash(ls)'],
  ['mcp__db__*', 'mcp__db__read'],
  ['mcp__db__*', 'mcp__db__*'],
  ['Read(src/**)', 'Read(src/a/b.ts)'],
  ['Read(src/*)', 'Read(src/*.ts)'],
  ['Read(*.md)', 'Read(README.md)'],
  ['WebFetch(domain:*.example.com)', 'WebFetch(domain:docs.example.com)'],
])('%s covers %s', (granted, asked) => {
  expect(covers(['Other', granted], asked)).toBe(true);
});

test.each([
  ['Bash(git *)', 'Bash'],
  ['Bash(git *)', 'Bash(*)'],
  ['Bash(git *)', 'Bash(git)'],
  ['Bash(git *)', 'Bash(github x)'],
  ['Bash(git *)', 'Bash(git log; rm -rf *)'],
  ['shell(git *)', 'shell(git log; rm -rf *)'],
  ['Bash(git *)', 'Bash(git log && rm *)'],
  ['Bash(git *)', 'Bash(git log | sh)'],
  ['Bash(git *)', 'Bash(git log $HOME)'],
  ['Bash(git *)', 'Bash(git log > /etc/passwd)'],
  ['Bash(git:*)', 'Bash(git *)'],
  ['Bash(g.t)', 'Bash(git)'],
  ['Read', 'Write'],
  ['Read', 'ReadMcpResource'],
  ['read', 'Read'],
  ['mcp__db__read', 'mcp__db__*'],
  ['mcp__db__*', 'mcp__db'],
  ['mcp__db__*(x)', 'mcp__db__read'],
  ['Read(src/**)', 'Read(src/../etc/passwd)'],
  ['Read(src/**)', 'Read(/src/x)'],
  ['Read(src/*)', 'Read(src/a/b)'],
  ['Read(*.md)', 'Read(//etc/x.md)'],
  ['Read(**)', 'Read(../x)'],
])('%s does not cover %s', (granted, asked) => {
  expect(covers(['Other', granted], asked)).toBe(false);
});

test('no pattern takes long', () => {
  const started = performance.now();
  expect(covers([`Bash(${'*a'.repeat(128)})`], `Bash(${'a'.repeat(255)}b)`)).toBe(false);
  expect(performance.now() - started).toBeLessThan(1000);
});
